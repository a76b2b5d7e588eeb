"""`hushfleet up` and `down` as typed: a fleet of real processes on this machine that learns, stays, and goes on."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushfleet.cli import ExitCode, run
from simulation import digits
from simulation.lasting.place import Place
from simulation.lasting.processes import Processes
from tests.support.waiting import LIMIT_S

pytestmark = pytest.mark.xdist_group("field")

DEVICES = 4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with data, in which nothing runs afterwards, however the test ends."""
    monkeypatch.chdir(tmp_path)
    digits.write(tmp_path / "data", DEVICES)
    yield tmp_path
    if Place(tmp_path / "fleet").is_whole():
        processes = Processes(Place(tmp_path / "fleet"))
        processes.end(processes.alive())


def typed(*words: str, code: int = ExitCode.DONE) -> dict:
    """`hushfleet` in a process of its own, as a person has it; its `--json`."""
    command = [sys.executable, "-c", "from hushfleet.cli import main; main()", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * LIMIT_S, check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_fleet_learns_stays_is_ended_and_goes_on(folder):
    told = typed("up", "--devices", f"{DEVICES}", "--data", "data", "--rounds", "4", "--noise-multiplier", "0.2", "--insecure-bits", "512")
    assert told["job"]["done"]
    assert told["job"]["released"] == 4
    assert told["job"]["accuracy"] > 0.5  # one in ten by chance
    assert told["job"]["epsilon"] > 0
    names = {"broker", *(f"pi-{number:02d}" for number in range(1, DEVICES + 1))}
    assert names <= set(told["processes"])

    for name in names - {"broker"}:
        status = typed("agent", "status", "--state", f"fleet/agents/{name}/state")
        assert status["rho_spent"] > 0
        assert "contributing zero" not in (folder / "fleet" / "logs" / f"{name}.log").read_text()
    assert typed("provision", "device", "list", "--vault", "fleet/vault")["devices"]

    assert typed("down", "pi-03")["ended"] == ["pi-03"]
    assert set(typed("down")["ended"]) >= names - {"pi-03"}
    assert Processes(Place(folder / "fleet")).alive() == {}

    again = typed("up")
    assert names <= set(again["processes"])
    assert again["job"]["released"] == 4  # the job is done: nothing more is spent
    assert set(again["processes"].values()).isdisjoint(told["processes"].values())
    assert typed("down")["running"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("up",), "name the devices' data with --data FOLDER"),
        (("up", "--devices", "9", "--data", "data"), "holds 4 data files"),
        (("up", "--devices", "3", "--data", "data"), "at least 4 devices"),
        (("down",), "there is no fleet in fleet"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(folder, capsys, words, said):
    assert run(list(words)) == ExitCode.USAGE
    assert said in capsys.readouterr().err
    assert not Place(folder / "fleet").is_whole()
