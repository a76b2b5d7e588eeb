"""A stopwatch on one device (PROTOCOL 5.2): neither the work between a plan and the first byte nor its moment follows the data.

Time is counted, not measured: a clock of the test's own stands still but for the work that trainer and data source do, row by row. So
the outcome is exact on any machine. `benchmarks/stopwatch.py` is the real measurement.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge_agent import agent as agent_module
from edge_agent.config import DataSettings
from edge_agent.data import read_blocks
from edge_agent.data.block import Block
from edge_agent.data.room import DataRoom
from edge_agent.slot import SendingSlot
from hushfleet.errors import HushfleetError
from hushfleet.randomness import Randomness
from hushfleet.training import GlobalModel, LocalTraining, LocalUpdate, Trainer, TrainingRun, train
from hushfleet.wire import Kind
from tests.support.fleet.agent import FLEET, TRAINER, AgentOnALink

Array = npt.NDArray[np.float64]

SECONDS_A_ROW = 1 / 128  # exact in binary
TURN_S = 0.25
FAR = 5.0
"""A feature that no made-up row has."""


class Panic(BaseException):
    """As a Rust library's panic arrives in Python."""


class Stopwatch:
    """The clock, and the trace of the work that moved it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.trace: list[tuple[str, int]] = []

    def __call__(self) -> float:
        return self.now_s

    def spend(self, what: str, rows: int) -> None:
        self.trace.append((what, rows))
        self.now_s += rows * SECONDS_A_ROW


class Timed:
    """The bench's trainer, whose work takes time; `fault` is raised by a gradient on real rows."""

    def __init__(self, watch: Stopwatch, fault: type[BaseException] | None = None) -> None:
        self.architecture, self.made_up = TRAINER.architecture, TRAINER.made_up
        self._watch, self._fault = watch, fault

    def check(self, features: Array, targets: Array) -> None:
        self._watch.spend("check", len(features))
        TRAINER.check(features, targets)

    def gradient(self, parameters: Array, features: Array, targets: Array) -> tuple[float, Array]:
        self._watch.spend("gradient", len(features))
        if self._fault is not None and features.max() >= FAR:
            raise self._fault("marker")
        return TRAINER.gradient(parameters, features, targets)


def csv(path: Path, rows: int, *, label: int = 1, feature: float = FAR, cell: str = "") -> Path:
    lines = [f"{feature},{number % 7},2,3,{label}" for number in range(rows)]
    path.write_text("\n".join(["a,b,c,d,y", *lines, *([f"{cell},1,2,3,0"] if cell else [])]) + "\n")
    return path


def npz(path: Path, rows: int) -> Path:
    np.savez(path, x=np.full((rows, 4), FAR), y=np.ones(rows))
    return path


class Device:
    """One device with the data in `file`, from its start to the end of one round."""

    def __init__(self, folder: Path, source: str, file: Path, fault: type[BaseException] | None) -> None:
        folder.mkdir()
        self.watch = Stopwatch()
        names = {"features": ("a", "b", "c", "d"), "labels": "y"} if source == "csv" else {}
        self.settings, trainer = DataSettings(source, file, **names), Timed(self.watch, fault)
        self.room = DataRoom(folder, self.settings, read=self._read)
        self.room.refresh({TRAINER.architecture.name: trainer})
        self.watch.trace.clear()
        self.bench = AgentOnALink(folder, now_s=self.watch, trainer=trainer, rows=self.room)

    def round(self) -> tuple[float, list[tuple[str, int]]]:
        """Seconds from the plan to the first byte, and the work in between."""
        begin = self.watch.now_s
        self.bench.announce()
        while not self.bench.arrived(Kind.CONTRIBUTION):
            self.watch.now_s = begin + math.floor((self.watch.now_s - begin) / TURN_S + 1) * TURN_S
            self.bench.agent.pump()
        self.bench.store.close()
        return self.watch.now_s - begin, self.watch.trace

    def _read(self, settings: DataSettings | None) -> Iterator[Block]:
        for block in read_blocks(settings):
            self.watch.spend("read", len(block.data))
            yield block


KINDS: dict[str, Callable[[Path], tuple[str, Path, type[BaseException] | None]]] = {
    "no file": lambda folder: ("csv", folder / "nothing.csv", None),
    "ten rows": lambda folder: ("csv", csv(folder / "d.csv", 10), None),
    "five thousand rows": lambda folder: ("csv", csv(folder / "d.csv", 5000), None),
    "npz": lambda folder: ("npz", npz(folder / "d.npz", 700), None),
    "a bad cell": lambda folder: ("csv", csv(folder / "d.csv", 40, cell="marker"), None),
    "labels that do not fit": lambda folder: ("csv", csv(folder / "d.csv", 40, label=9), None),
    "a long update": lambda folder: ("csv", csv(folder / "d.csv", 40, feature=1e6), None),
    "an update that is not finite": lambda folder: ("csv", csv(folder / "d.csv", 40, feature=1e300), None),
    "a trainer that exits": lambda folder: ("csv", csv(folder / "d.csv", 40), SystemExit),
    "a trainer that panics": lambda folder: ("csv", csv(folder / "d.csv", 40), Panic),
}


def timed(folder: Path, kind: str) -> tuple[float, list[tuple[str, int]]]:
    here = folder / kind.replace(" ", "-")
    here.mkdir()
    return Device(here / "state", *KINDS[kind](here)).round()


def test_time_and_work_of_a_round_are_the_same_whatever_the_data(tmp_path: Path) -> None:
    found = {kind: timed(tmp_path, kind) for kind in KINDS}
    steps, rows = FLEET.job.task.training.local_steps, FLEET.job.task.training.batch_size

    assert all(outcome == found["no file"] for outcome in found.values()), found
    assert found["no file"][1] == [("check", rows), ("gradient", rows)] * steps
    assert found["no file"][0] == FLEET.plan().plan.sending_slot_s


def _as_it_was(device: "Device") -> Callable[..., TrainingRun]:
    """Control: the data are read, checked and trained on inside the round, and a failure ends the work."""

    def start(
        trainer: Trainer, model: GlobalModel, settings: LocalTraining, _: object, randomness: Randomness, *, executor: Executor
    ) -> TrainingRun:
        def work() -> LocalUpdate | HushfleetError:
            (block, *_rest) = list(device._read(device.settings))
            return train(trainer, model, settings, block.data, randomness)

        return TrainingRun(executor.submit(work))

    return start


def test_control_reading_in_the_round_tells_the_data_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prepared rows and without the slot, one look at the time tells whether there are data, and how many."""
    monkeypatch.setattr(SendingSlot, "hold", lambda *_: False)
    seconds = {}
    for kind in ("no file", "ten rows", "five thousand rows", "labels that do not fit"):
        here = tmp_path / kind.replace(" ", "-")
        here.mkdir()
        device = Device(here / "state", *KINDS[kind](here))
        monkeypatch.setattr(agent_module, "start_training", _as_it_was(device))
        seconds[kind] = device.round()[0]
    assert len(set(seconds.values())) == len(seconds), seconds


def test_control_without_the_slot_the_work_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slot alone hides how fast a device is: without it the first byte leaves when the work is done."""
    monkeypatch.setattr(SendingSlot, "hold", lambda *_: False)
    assert timed(tmp_path, "no file")[0] < FLEET.plan().plan.sending_slot_s
