import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import sha256
from orchestrator.store.blobs import Blobs
from tests.support.refusals import refused


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs")


def test_what_is_put_is_found_under_its_hash(blobs):
    assert blobs.put(b"model") == sha256(b"model")
    assert blobs.get(sha256(b"model")) == b"model"


def test_putting_twice_is_putting_once(blobs, tmp_path):
    blobs.put(b"model")
    blobs.put(b"model")

    assert len(list((tmp_path / "blobs").iterdir())) == 1


def test_a_blob_that_is_gone_is_noticed(blobs):
    with refused(Refusal.STORE_UNUSABLE, LocalError):
        blobs.get(sha256(b"never put"))


def test_a_blob_that_was_altered_is_noticed(blobs, tmp_path):
    digest = blobs.put(b"model")
    (tmp_path / "blobs" / digest.hex()).write_bytes(b"another")

    with refused(Refusal.STORE_UNUSABLE, LocalError):
        blobs.get(digest)


def test_a_half_written_blob_is_replaced(blobs, tmp_path):
    (tmp_path / "blobs" / sha256(b"model").hex()).write_bytes(b"mo")

    assert blobs.get(blobs.put(b"model")) == b"model"


def test_sweeping_leaves_what_is_needed(blobs, tmp_path):
    digests = [blobs.put(data) for data in (b"a", b"b", b"c")]
    (tmp_path / "blobs" / "half.part").write_bytes(b"half")

    blobs.sweep(digests[:1])

    assert [path.name for path in (tmp_path / "blobs").iterdir()] == [digests[0].hex()]
