"""The report is tried on small suites of its own, in processes of their own: it must fail where it should, and only there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hushfleet.errors import Refusal
from tests.support.session_report import forbidden_skips, unreached

ROOT = Path(__file__).parents[3]
SUITE = """
import pytest
from hushfleet.errors import HushfleetError, Refusal
from tests.support.refusals import refused

@pytest.mark.parametrize("reason", [reason for reason in Refusal if reason.name not in {left_out!r}])
def test_refusals(reason):
    with refused(reason):
        raise HushfleetError(reason, "as asked")

def test_nothing():
    if {skip}:
        pytest.skip("not today")
"""
SETTINGS = "[pytest]\ntestpaths = cases\naddopts = --import-mode=importlib -p no:cacheprovider\n"
PROCESSES = pytest.mark.parametrize("processes", ["0", "2"])


@PROCESSES
def test_a_refusal_that_no_test_reached_fails_the_run(tmp_path: Path, processes: str) -> None:
    result = _run(tmp_path, "-n", processes, left_out=("SEAL", "PHASE"))

    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout
    assert "No test reached the refusal SEAL (seal)." in result.stdout
    assert "No test reached the refusal PHASE (phase)." in result.stdout
    assert result.stdout.count("No test reached") == 2
    assert " failed" not in result.stdout


@PROCESSES
def test_a_run_that_reached_them_all_passes(tmp_path: Path, processes: str) -> None:
    result = _run(tmp_path, "-n", processes)

    assert result.returncode == pytest.ExitCode.OK, result.stdout


@pytest.mark.parametrize("selection", [["-k", "nothing"], ["cases/test_suite.py"], ["--deselect", "cases/test_suite.py::test_nothing"]])
def test_a_part_of_the_suite_need_not_reach_them(tmp_path: Path, selection: list[str]) -> None:
    result = _run(tmp_path, *selection, left_out=("SEAL",))

    assert result.returncode == pytest.ExitCode.OK, result.stdout


@PROCESSES
def test_in_ci_a_skip_fails_the_run(tmp_path: Path, processes: str) -> None:
    result = _run(tmp_path, "-n", processes, skip=True, ci="true")

    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout
    assert "Skipped in CI without being on the allow-list: cases/test_suite.py::test_nothing" in result.stdout


def test_elsewhere_a_skip_is_allowed(tmp_path: Path) -> None:
    result = _run(tmp_path, skip=True)

    assert result.returncode == pytest.ExitCode.OK, result.stdout


def test_unreached_keeps_the_order_of_definition() -> None:
    assert unreached(set(Refusal) - {Refusal.PHASE, Refusal.SEAL}) == [Refusal.SEAL, Refusal.PHASE]
    assert unreached(Refusal) == []


def test_only_listed_beginnings_may_be_skipped() -> None:
    skipped = ["tests/system/test_unit.py::test_a", "tests/unit/test_b.py::test_b"]

    assert forbidden_skips(skipped, ["tests/system/"]) == ["tests/unit/test_b.py::test_b"]
    assert forbidden_skips(skipped, []) == skipped


def _run(folder: Path, *options: str, left_out: tuple[str, ...] = (), skip: bool = False, ci: str = "") -> subprocess.CompletedProcess[str]:
    cases = folder / "cases"
    cases.mkdir()
    (folder / "pytest.ini").write_text(SETTINGS)
    (cases / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (cases / "test_suite.py").write_text(SUITE.format(left_out=left_out, skip=skip))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"PYTHONPATH": str(ROOT), "CI": ci, "COLUMNS": "200"}
    command = [sys.executable, "-m", "pytest", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
