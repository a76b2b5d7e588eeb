import os

import pytest

from hushfleet.documents.archive import ROOT_KEY_FILE, digest
from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.signing import SigningKey
from orchestrator.store.archive_folder import Archive
from tests.support.refusals import refused

ROOT = SigningKey.generate(SeededRandomness(b"root")).verify_key
FILES = {"plan": b"p", "record": b"r", "after": b"m" * 1000}


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "job" / "archive", ROOT)


def test_the_root_key_stands_beside_the_rounds(archive):
    assert bytes.fromhex((archive.folder / ROOT_KEY_FILE).read_text()) == ROOT.raw


def test_a_round_is_a_folder_with_its_files(archive):
    folder = archive.store(7, 3, FILES)

    assert folder.name == "epoch-007-round-000003"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES


def test_rounds_sort_by_epoch_then_number(archive):
    places = [(1, 1), (0, 10), (0, 9), (12, 2), (0, 100)]
    for place in places:
        archive.store(*place, FILES)

    names = [path.name for path in sorted(archive.folder.glob("epoch-*-round-*"))]
    assert names == [f"epoch-{epoch:03d}-round-{number:06d}" for epoch, number in sorted(places)]


@pytest.mark.parametrize("failing", range(len(FILES)))
def test_a_round_appears_whole_or_not_at_all(archive, monkeypatch, failing):
    calls, fsync = [], os.fsync

    def fail(descriptor):
        calls.append(descriptor)
        if len(calls) > failing:
            raise OSError("the disk is full")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk is full"):
        archive.store(0, 1, FILES)

    assert not (archive.folder / "epoch-000-round-000001").exists()


def test_what_a_crash_left_is_in_nobodys_way(archive):
    beside = archive.folder / "epoch-000-round-000001.part"
    beside.mkdir()
    (beside / "half").write_bytes(b"of a round")

    folder = archive.store(0, 1, FILES)

    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert not beside.exists()


def test_an_archived_round_is_never_overwritten(archive):
    archive.store(0, 1, FILES)

    with refused(Refusal.STORE_ROLLED_BACK, LocalError):
        archive.store(0, 1, {"plan": b"another"})

    assert (archive.folder / "epoch-000-round-000001" / "plan").read_bytes() == b"p"


def test_the_folder_may_be_there_already(archive):
    archive.store(0, 1, FILES)

    again = Archive(archive.folder, ROOT)

    assert (again.folder / "epoch-000-round-000001" / "record").read_bytes() == b"r"


def test_the_same_round_again_changes_nothing(archive):
    archive.store(0, 1, FILES)

    folder = archive.store(0, 1, FILES)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert not list(archive.folder.glob("*.part"))


class TestAfterARestart:
    def test_a_round_that_was_committed_is_published(self, archive):
        name = archive.prepare(0, 1, FILES)
        assert not (archive.folder / name).exists()

        archive.settle({name: digest(FILES)})

        assert (archive.folder / name / "plan").read_bytes() == b"p"
        assert not list(archive.folder.glob("*.part"))

    def test_a_round_that_was_not_committed_is_dropped(self, archive):
        archive.prepare(0, 1, FILES)

        archive.settle({})

        assert {path.name for path in archive.folder.iterdir()} == {ROOT_KEY_FILE}

    def test_a_round_that_was_published_stays(self, archive):
        name = archive.store(0, 1, FILES).name

        archive.settle({name: digest(FILES)})

        assert (archive.folder / name / "plan").read_bytes() == b"p"

    def test_a_committed_round_that_is_gone_is_noticed(self, archive):
        with refused(Refusal.STORE_UNUSABLE, LocalError):
            archive.settle({"epoch-000-round-000001": digest(FILES)})

    def test_a_committed_round_of_other_bytes_is_noticed(self, archive):
        name = archive.prepare(0, 1, {"plan": b"another"})

        with refused(Refusal.STORE_UNUSABLE, LocalError):
            archive.settle({name: digest(FILES)})
