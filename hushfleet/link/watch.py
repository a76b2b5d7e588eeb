"""When a service may say that it is alive: the link's thread works and the main loop turns."""

import threading
import time
from collections.abc import Callable

from hushfleet.link.notify import Notifier

MOST_STEP_S = 1800.0
"""The longest that one step may take: a member verifies a whole cohort in one."""


class Watch:
    """Speaks to the watchdog from a thread of its own, so that a long step does not look like a dead process."""

    def __init__(
        self,
        notifier: Notifier,
        link_is_alive: Callable[[], bool],
        *,
        now_s: Callable[[], float] = time.monotonic,
        on_stuck: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_stuck` hears, on the watching thread, of what no longer moves."""
        self._notifier, self._link_is_alive, self._now_s, self._on_stuck = notifier, link_is_alive, now_s, on_stuck
        self._turned_s = now_s()
        self._ended = threading.Event()

    def turned(self) -> None:
        """The main loop came round."""
        self._turned_s = self._now_s()

    def check(self) -> bool:
        """Tell the manager that this process lives, if it does; whether it was told."""
        if self._now_s() - self._turned_s > MOST_STEP_S:
            self._on_stuck("The main loop is stuck.")
        elif not self._link_is_alive():
            self._on_stuck("The link's thread is stuck.")
        else:
            self._notifier.alive()
            return True
        return False

    def start(self) -> None:
        """Check from now on, twice as often as the manager asks. Does nothing where nobody asked."""
        if self._notifier.watchdog_s is not None:
            threading.Thread(target=self._run, args=(self._notifier.watchdog_s / 2,), name="watch", daemon=True).start()

    def end(self) -> None:
        """No more checks."""
        self._ended.set()

    def _run(self, every_s: float) -> None:
        while not self._ended.wait(every_s):
            self.check()
