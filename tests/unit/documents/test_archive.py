import pytest

from hushfleet.documents import archive
from hushfleet.documents.archive import RoundArchive, folder_name, read_root_key, root_key_text, round_in
from hushfleet.errors import PeerError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.effects import KeepOutcome
from hushfleet.signing import SigningKey
from tests.support.fleet import make_fleet
from tests.support.fleet.machines import Machines
from tests.support.refusals import refused


@pytest.fixture(scope="module")
def released() -> RoundArchive:
    machines = Machines(make_fleet())
    machines.run_round()
    (outcome,) = (one for one in machines.kept["orchestrator"] if isinstance(one, KeepOutcome))
    return outcome.archive


def test_the_files_give_the_archive_again(released: RoundArchive):
    assert RoundArchive.read(released.files()) == released
    assert set(released.files()) == {"roster", "plan", "record", "request", "before", "after", "answer-1", "answer-2", "answer-3"}


def test_a_round_that_nobody_was_asked_in_has_no_request(released: RoundArchive):
    files = {name: data for name, data in released.files().items() if name not in ("request", "answer-1", "answer-2", "answer-3")}

    aborted = RoundArchive.read(files)

    assert (aborted.request, dict(aborted.answers)) == (None, {})


@pytest.mark.parametrize("name", ["roster", "plan", "record", "before", "after"])
def test_a_missing_file_is_named(released: RoundArchive, name: str):
    with refused(Refusal.ARCHIVE, PeerError):
        RoundArchive.read({key: data for key, data in released.files().items() if key != name})


def test_the_digest_tells_names_and_contents_apart(released: RoundArchive):
    files = released.files()
    renamed = {("other" if name == "after" else name): data for name, data in files.items()}
    others = [{**files, "after": b""}, {**files, "more": b""}, renamed]

    assert len({archive.digest(one) for one in (files, *others)}) == 4
    assert archive.digest(dict(reversed(files.items()))) == archive.digest(files)


@pytest.mark.parametrize(("epoch", "number"), [(0, 1), (7, 12), (1000, 10**7)])
def test_a_folders_name_says_key_epoch_and_round(epoch: int, number: int):
    assert round_in(folder_name(epoch, number)) == (epoch, number)


@pytest.mark.parametrize(
    "name", ["epoch-000-round-000001.part", "root.pub", "epoch-0-round-1", "epoch-000-round-000001 ", "../epoch-000-round-000001"]
)
def test_other_names_are_no_rounds(name: str):
    assert round_in(name) is None


def test_the_root_keys_file_gives_the_key_again():
    root = SigningKey.generate(SeededRandomness(b"root")).verify_key

    assert read_root_key(root_key_text(root).encode()) == root
    with refused(Refusal.KEY_MALFORMED, PeerError):
        read_root_key(b"no key")
