"""Somebody hands over an archive folder that is made to harm, or to hide a round.

The folder: a FIFO would hang whoever reads it, a link would read a file that is none of its business, a sparse file would fill the
memory. The rounds: one whose sum was opened and that was then called aborted is left out, so that a device's cost looks lower.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hushfleet.audit import verify, verify_job
from hushfleet.cli import run
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.program import archive_folder
from hushfleet.program.archive_folder import read_archive
from hushfleet.randomness import SystemRandomness
from hushfleet.system.files import read_file, read_named
from tests.support.fleet.attacked import attack_fleet, staged
from tests.support.refusals import refused

ROUND = "epoch-000-round-000002"
ROUNDS = 3
FLEET = attack_fleet()
ROOT = FLEET.parties.owner.root.verify_key


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Released, opened and then aborted, released."""
    with pytest.MonkeyPatch.context() as patch, staged(FLEET, tmp_path_factory.mktemp("honest"), patch) as stage:
        for wanted in ("release", "abort", "release"):
            stage.collect()
            if wanted == "abort":
                stage.running.orchestrator.abort("wanted")
            else:
                stage.running.orchestrator.end_collection()
                stage.running.settle()
        yield stage.running.folder / "archive"


@pytest.fixture
def archive(honest: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(honest, tmp_path / "archive"))


def verified(folder: Path) -> verify.JobReport:
    return verify_job(read_archive(folder), ROOT, SystemRandomness(), insecure_keys=True)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def elsewhere(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 << 30)


def folder(path: Path) -> None:
    path.mkdir()


class TestFolder:
    @pytest.mark.parametrize("name", ["roster", "plan", "record", "request", "before", "after", "sum", "answer-1"])
    @pytest.mark.parametrize("make", [fifo, endless, elsewhere, sparse, folder])
    def test_what_is_no_regular_file_of_its_size_is_refused_unread(self, archive: Path, name: str, make: Callable[[Path], None]) -> None:
        path = archive / ROUND / name
        path.unlink(missing_ok=True)
        make(path)

        with refused(Refusal.ARCHIVE, PeerError):
            verified(archive)

    @pytest.mark.parametrize("make", [fifo, endless, elsewhere])
    def test_a_round_that_is_no_folder_is_refused(self, archive: Path, make: Callable[[Path], None]) -> None:
        shutil.rmtree(archive / ROUND)
        make(archive / ROUND)

        with refused(Refusal.ARCHIVE, PeerError):
            verified(archive)

    @pytest.mark.parametrize("make", [fifo, endless, sparse, folder])
    def test_under_another_name_it_is_not_opened_and_told(self, archive: Path, make: Callable[[Path], None]) -> None:
        make(archive / ROUND / "zz")
        make(archive / "epoch-x")

        found = read_archive(archive)
        report = verify_job(found, ROOT, SystemRandomness(), insecure_keys=True)

        assert (found.unknown, found.passed_over) == (("epoch-x",), [f"{ROUND}/zz"])
        assert report.released == ROUNDS - 1

    def test_endless_names_are_refused(self, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(archive_folder, "_MOST_FILES", 20)
        for number in range(20):
            (archive / ROUND / f"x{number}").touch()

        with refused(Refusal.ARCHIVE, PeerError):
            verified(archive)

    @pytest.mark.parametrize("make", [fifo, endless, sparse, lambda path: path.write_bytes(b"\xff\xfe")])
    def test_the_archives_own_root_key_is_no_exception(
        self, archive: Path, make: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        (archive / "root.pub").unlink(missing_ok=True)
        make(archive / "root.pub")

        assert run(["verify", str(archive), "--json"]) == 4
        assert json.loads(capsys.readouterr().out)["error"]["kind"] in ("archive", "key-malformed")

    def test_control_a_reader_that_follows_links_takes_a_file_from_elsewhere(
        self, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = archive / ROUND / "roster"
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        monkeypatch.setattr(archive_folder, "read_file", lambda path, **_: path.read_bytes())

        assert verified(archive).released == ROUNDS - 1

    def test_a_file_that_a_person_names_may_be_a_link_and_nothing_else(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"1234")
        (tmp_path / "link").symlink_to("file")
        fifo(tmp_path / "fifo")

        assert read_named(tmp_path / "link", 4) == b"1234"
        with refused(Refusal.FILE_KIND, LocalError):
            read_file(tmp_path / "link", max_bytes=4)
        with refused(Refusal.FILE_KIND, LocalError):
            read_named(tmp_path / "fifo", 4)
        with refused(Refusal.FILE_TOO_LARGE, LocalError):
            read_named(tmp_path / "file", 3)
        with refused(Refusal.FILE_TOO_LARGE, LocalError):
            read_named(Path("/proc/self/status"), 100)  # which states a size of 0


class TestGaps:
    def test_the_whole_archive_says_that_everything_holds(self, archive: Path) -> None:
        report = verified(archive)

        assert "every signature, device's proof and sum holds" in report.summary()
        assert (report.gaps, report.unchecked, len(report.rounds)) == ((), (), ROUNDS)

    def test_a_left_out_round_is_named_and_rho_is_called_too_low(self, archive: Path) -> None:
        shutil.rmtree(archive / ROUND)

        report = verified(archive)

        assert report.gaps == (verify.Gap(0, 2, 2),)
        assert report.lines()[0].startswith("INCOMPLETE")
        assert "round 2" in report.summary()
        assert "every signature" not in report.summary()

    def test_a_first_round_left_out_is_told(self, archive: Path) -> None:
        for name in ("epoch-000-round-000001", "epoch-000-round-000003"):
            shutil.rmtree(archive / name)

        assert "begins at round 2" in verified(archive).summary()

    def test_control_without_the_look_at_numbers_the_cost_is_understated(self, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = verified(archive).rho_nano
        shutil.rmtree(archive / ROUND)
        monkeypatch.setattr(verify._Places, "take", lambda *_: True)

        report = verified(archive)

        assert "every signature, device's proof and sum holds" in report.summary()
        assert report.rho_nano < whole

    @pytest.mark.parametrize("name", ["request", "answer-1"])
    def test_garbage_in_an_aborted_round_is_not_passed_over(self, archive: Path, name: str) -> None:
        (archive / ROUND / name).write_bytes(b"garbage")

        with pytest.raises(PeerError):
            verified(archive)

    def test_a_file_that_no_check_looks_at_is_named(self, archive: Path) -> None:
        (archive / "epoch-000-round-000001" / "answer-9").write_bytes(b"garbage")

        report = verified(archive)

        assert report.unchecked == ("answer-9 of round 1",)
        assert "every signature" not in report.summary()
