"""Another user of the machine changes what lies in a state folder or vault, or reads the keys out of a running program."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from edge_agent.folder import StateFolder as AgentFolder
from hushfleet.errors import LocalError, Refusal
from hushfleet.system import folders
from orchestrator.folder import StateFolder as OrchestratorFolder
from provisioning.folder import VaultFolder
from tests.support.refusals import refused

KINDS = [AgentFolder, OrchestratorFolder, VaultFolder]
Kind = Callable[[Path], AgentFolder | OrchestratorFolder | VaultFolder]


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777])
def umask(request: pytest.FixtureRequest) -> AbstractContextManager[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_folder_is_its_owners_alone_whatever_the_umask(kind: Kind, tmp_path: Path) -> None:
    kind(tmp_path / "state").make()

    assert (tmp_path / "state").stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_others_can_read_is_closed(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o755)

    kind(tmp_path / "state").make()

    assert (tmp_path / "state").stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_in_is_refused_with_the_command_that_mends_it(kind: Kind, mode: int, tmp_path: Path) -> None:
    state = tmp_path / "state of it"
    state.mkdir()
    state.chmod(mode)

    with refused(Refusal.FOLDER_UNSAFE, LocalError):
        kind(state).make()
    with refused(Refusal.FOLDER_UNSAFE, LocalError), kind(state).locked():
        pass
    with pytest.raises(LocalError) as caught:
        folders.require_private(state)
    subprocess.run(caught.value.next_step.rpartition("run: ")[2], shell=True, check=True)  # noqa: S602 -- as a person would
    with kind(state).locked():
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_somebody_else_is_refused(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind(tmp_path / "state").make()
    monkeypatch.setattr(folders.os, "geteuid", lambda: (tmp_path / "state").stat().st_uid + 1)

    with refused(Refusal.FOLDER_UNSAFE, LocalError), kind(tmp_path / "state").locked():
        pass


def test_control_without_the_look_an_open_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setattr("hushfleet.program.folder.require_private", lambda _: None)

    with AgentFolder(tmp_path).locked():
        assert AgentFolder(tmp_path).holder() is not None


PROGRAM = """
import ctypes, resource
import hushfleet.cli
def told(_):
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))
    return 0
hushfleet.cli.run = told
{before}
hushfleet.cli.main()
"""


def told_by(before: str = "") -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(before=before)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_program_leaves_no_core_and_cannot_be_read_by_a_debugger() -> None:
    assert told_by() == "0 0 0"


def test_control_without_it_a_debugger_of_the_same_user_reads_the_memory() -> None:
    assert told_by("hushfleet.cli.hide_memory = lambda: None").startswith("1 ")
    assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 1


@pytest.mark.parametrize("unit", ["hushfleet-agent", "hushfleet-orchestrator"])
def test_the_units_allow_no_core(unit: str) -> None:
    assert "\nLimitCORE=0\n" in (Path(__file__).parents[2] / "systemd" / f"{unit}.service").read_text()
