"""onnxruntime reports to its maker unless `models` was imported first: no file and no connection, and a control in which both appear.

Two processes side by side, each in a network namespace without a network and with a home folder of its own, under strace. The
one that imports `models` lives as long as it takes the other to be caught.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
#: An ONNX model of one node: y = Identity(x), x of shape (1, 2). Written by hand: this needs no package to make it.
MODEL = (
    "08083a3f0a100a017812017922084964656e746974791201675a130a0178120e0a0c080112080a0208010a02080262130a0179120e0a0c080112080a02"
    "08010a0208024202100d"
)
RUN = """
import sys, numpy
{first}
import onnxruntime
session = onnxruntime.InferenceSession(bytes.fromhex(sys.argv[1]), providers=["CPUExecutionProvider"])
print(session.run(None, {{"x": numpy.ones((1, 2), numpy.float32)}})[0].tolist(), flush=True)
sys.stdin.read()
"""
_QUIETING = ("ORT_DISABLE_TELEMETRY", "CI")
"""What would quiet the control, too: the runtime reports nothing from where it takes itself to be in CI."""


class Watched:
    """One process that runs a session, what it wrote into its home folder, and whom it tried to reach."""

    def __init__(self, folder: Path, first: str) -> None:
        self.home, self.trace = folder / "home", folder / "trace"
        self.home.mkdir(parents=True)
        environment = {name: value for name, value in os.environ.items() if name not in _QUIETING and not name.startswith("XDG_")}
        traced = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(self.trace)]
        command = ["unshare", "--map-root-user", "--net", *traced, sys.executable, "-c", RUN.format(first=first), MODEL]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**environment, "HOME": str(self.home)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def has_run(self) -> bool:
        return self.process.stdout is not None and self.process.stdout.readline() == b"[[1.0, 1.0]]\n"

    def files(self) -> list[str]:
        return [str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file()]

    def calls(self) -> list[str]:
        """Calls that name an address of a network."""
        return [line for line in self.trace.read_text().splitlines() if "sa_family=AF_INET" in line]

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture(autouse=True)
def _programs() -> None:
    for program, package in (("strace", "strace"), ("unshare", "util-linux")):
        assert shutil.which(program), f"{program} is missing. Type: sudo apt install {package}"


def test_with_models_imported_onnxruntime_writes_no_file_and_calls_nobody(tmp_path: Path) -> None:
    silent, control = Watched(tmp_path / "silent", "import models"), Watched(tmp_path / "control", "")
    try:
        assert silent.has_run()
        assert control.has_run()
        # Without this the test would show nothing: the installed version does report, and this is how it looks.
        eventually(lambda: control.files() and control.calls())
    finally:
        for one in (silent, control):
            one.end()

    assert silent.files() == []
    assert silent.calls() == []
