"""README's fleet on one machine, typed exactly as it stands there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulation.broker import free_port
from tests.support.waiting import LIMIT_S

ROOT = Path(__file__).parents[2]
DEVICES = [f"pi-{number:02d}" for number in range(1, 9)]
BUDGET = 4.0
CHANCE = 10.0  # per cent

pytestmark = pytest.mark.xdist_group("field")


def _block(name: str) -> str:
    found = re.findall(rf"^<!-- example: {name} -->\n```bash\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_fleet_typed_by_hand_learns_spends_its_budget_once_and_verifies(tmp_path: Path) -> None:
    script = "trap 'kill $(jobs -p) 2> /dev/null; wait' EXIT\n" + _block("by-hand").replace("18883", str(free_port()))
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}:/usr/sbin", "PYTHONPATH": str(ROOT)}

    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=6 * LIMIT_S, check=False)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "verified: 8 of 8 rounds of meadow released a model" in done.stdout
    assert (tmp_path / "model.npz").exists()
    accuracies = [float(found) for found in re.findall(r"accuracy (\d+\.\d)%", done.stdout + done.stderr)]
    assert accuracies[-1] > 5 * CHANCE, accuracies
    for device in DEVICES:
        assert "contributing zero" not in (tmp_path / f"{device}.log").read_text()
        status = told(tmp_path, environment, "agent", "status", "--state", f"state/{device}")
        assert status["data"]["usable"]
        assert not status["data"]["zeros"]
        assert 0.99 * BUDGET < status["rho_spent"] <= BUDGET


def told(folder: Path, environment: dict[str, str], *words: str) -> Any:  # noqa: ANN401 -- JSON
    """The object that a command prints with --json."""
    command = [str(Path(sys.executable).parent / "hushfleet"), *words, "--json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
