"""README's fleet on one machine, typed exactly as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.broker import free_port
from tests.support.waiting import LIMIT_S

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.xdist_group("field")


def _block(name: str) -> str:
    found = re.findall(rf"^<!-- example: {name} -->\n```bash\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_fleet_typed_by_hand_releases_a_model_that_verifies(tmp_path: Path) -> None:
    script = "trap 'kill $(jobs -p) 2> /dev/null; wait' EXIT\n" + _block("by-hand").replace("18883", str(free_port()))
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}:/usr/sbin", "PYTHONPATH": str(ROOT)}

    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=6 * LIMIT_S, check=False)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "verified: 3 of 3 rounds of meadow released a model" in done.stdout
    assert (tmp_path / "model.npz").exists()
