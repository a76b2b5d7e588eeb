"""The words of a service to systemd: ready, alive, one line of status (sd_notify(3)). Silent when nobody asked."""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from hushfleet.system.plain_text import plain

_MICRO = 1_000_000


class Notifier:
    """One datagram per message to the manager that started this process. Outside systemd every call does nothing.

    A message that cannot be delivered is dropped: a service does not fail over what it says of itself.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environment)
        """Seconds after which the manager restarts a process that did not say `alive`, or None. Say it at half of this."""

    def ready(self) -> None:
        """Say that start-up is over: what waited for this service may start."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + plain(" ".join(text.split())))

    def alive(self) -> None:
        """Postpone the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that an orderly stop has begun."""
        self._send("STOPPING=1")

    def _send(self, line: str) -> None:
        if self._address is None:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(line.encode(), self._address)


def _address(text: str) -> str | None:
    """A path, or a name in the abstract namespace, which systemd writes with '@'."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """The watchdog's seconds; None without one, or if it is meant for another process of the service."""
    micro, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not micro.isdecimal() or int(micro) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(micro) / _MICRO


MOST_STEP_S = 1800.0
"""The longest that one step may take: a member verifies a whole cohort in one."""


class Watch:
    """The watchdog's thread: it says that this process is alive, so that a long step does not look like a dead process."""

    def __init__(
        self,
        notifier: Notifier,
        link_is_alive: Callable[[], bool],
        *,
        now_s: Callable[[], float] = time.monotonic,
        on_stuck: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Watch the main loop and the link. `on_stuck` is told, on the watchdog's thread, which of them no longer moves."""
        self._notifier, self._link_is_alive, self._now_s, self._on_stuck = notifier, link_is_alive, now_s, on_stuck
        self._stepped_s = now_s()
        self._ended = threading.Event()

    def stepped(self) -> None:
        """Note that the main loop has finished a step."""
        self._stepped_s = self._now_s()

    def check(self) -> bool:
        """Tell the manager that this process is alive, unless it is stuck. True if it was told."""
        if self._now_s() - self._stepped_s > MOST_STEP_S:
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
        """Stop checking."""
        self._ended.set()

    def _run(self, every_s: float) -> None:
        while not self._ended.wait(every_s):
            self.check()
