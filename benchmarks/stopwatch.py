"""The time from plan to first byte on a real clock, with and without data: `python -m benchmarks.stopwatch [ROUNDS]`.

One agent on a link in memory, its real clock and its sending slot. It prints for each kind of data when the first byte left, and the
share of right guesses of somebody who tells "no file" from that kind by the best threshold on the time: 0.5 is chance.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edge_agent.config import DataSettings
from edge_agent.data.room import DataRoom
from hushfleet.wire import Kind
from tests.support.fleet.agent import FLEET, TRAINER, AgentOnALink

ROWS = {"no file": 0, "100 rows": 100, "50,000 rows": 50_000}


def seconds(folder: Path, rows: int, rounds: int) -> list[float]:
    """The times of so many rounds of a device with so many rows."""
    path = folder / "data.npz"
    if rows:
        np.savez(path, x=np.linspace(-1, 1, 4 * rows).reshape(rows, 4), y=np.arange(rows) % 2)
    room = DataRoom(folder, DataSettings("npz", path))
    room.refresh({TRAINER.architecture.name: TRAINER})
    device = AgentOnALink(folder, now_s=time.monotonic, rows=room)
    found = [_one(device, number) for number in range(1, rounds + 1)]
    device.store.close()
    return found


def _one(device: AgentOnALink, number: int) -> float:
    begin = time.monotonic()
    device.announce(FLEET.plan(number, deadline_s=64, sending_slot_s=1))
    while not device.arrived(Kind.CONTRIBUTION):
        device.agent.pump(min(1.0, device.agent.wait_s))
    return time.monotonic() - begin


def _told_apart(first: list[float], second: list[float]) -> float:
    right = [sum(x < cut for x in first) + sum(x >= cut for x in second) for cut in first + second]
    total = len(first) + len(second)
    return max(*right, total - min(right)) / total


def main(rounds: int) -> None:
    """Print the table."""
    found = {}
    for name, rows in ROWS.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = seconds(Path(folder), rows, rounds)
    for name, times in found.items():
        least, middle, most = np.quantile(times, [0, 0.5, 1])
        apart = _told_apart(found["no file"], times)
        print(f"{name:>12}: {least:.4f} to {most:.4f} s, median {middle:.4f} s; told from no file: {apart:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
