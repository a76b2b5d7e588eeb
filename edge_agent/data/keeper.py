"""The thread that keeps the data room up to date: it looks at the data at the start, and whenever file, settings or models change."""

import threading
import time
from collections.abc import Callable

from edge_agent.data.room import DataRoom, Models
from hushfleet.training import fault_text

LOOK_S = 5.0
"""The time between two looks at the file's time and size."""
FIRST_PROGRESS_S, NEXT_PROGRESS_S = 2.0, 10.0


class Told:
    """Tells a person how far the reading is: first after 2 s, then every 10 s."""

    def __init__(self, tell: Callable[[str], None], now_s: Callable[[], float] = time.monotonic) -> None:
        self._tell, self._now_s = tell, now_s
        self._rows, self._next_s = 0, 0.0

    def __call__(self, rows: int) -> None:
        """`rows` were read so far."""
        now_s = self._now_s()
        if rows <= self._rows or not self._next_s:
            self._next_s = now_s + FIRST_PROGRESS_S
        elif now_s >= self._next_s:
            self._tell(f"Reading the training data: {rows:,} rows so far.")
            self._next_s = now_s + NEXT_PROGRESS_S
        self._rows = rows


class DataKeeper:
    """Refreshes `room` for the models that `models` names. `warn` hears of a defect, by type and place."""

    def __init__(self, room: DataRoom, models: Callable[[], Models], *, warn: Callable[[str], None], look_s: float = LOOK_S) -> None:
        self.room = room
        self._models, self._warn, self._look_s = models, warn, look_s
        self._settled, self._stopping = threading.Event(), threading.Event()

    def start(self) -> None:
        """Look at once, and then again and again."""
        threading.Thread(target=self._run, name="data", daemon=True).start()

    def stop(self) -> None:
        """Look no more. What is being read is given up with the process."""
        self._stopping.set()

    def settled(self, timeout_s: float) -> bool:
        """True once the first look is over; waits up to `timeout_s` for it."""
        return self._settled.wait(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.room.refresh(self._models())
            except BaseException as error:  # noqa: BLE001 -- whatever happens here, the agent goes on, and its owner hears of it
                self._warn(f"The training data cannot be looked at: {fault_text(error)}.")
            self._settled.set()
            self._stopping.wait(self._look_s)
