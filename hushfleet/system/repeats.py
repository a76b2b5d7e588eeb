"""Messages that repeat: each is told at once, then at most every ten minutes with the number of times it came meanwhile."""

import time
from collections.abc import Callable, Hashable
from contextlib import suppress

AGAIN_AFTER_S = 600.0
_MOST_REMEMBERED = 256


class Repeats:
    """The memory of what was told and when. It keeps a bounded number of messages and forgets the one told longest ago."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._told: dict[Hashable, tuple[float, int]] = {}

    def held_back(self, message: Hashable) -> int | None:
        """The number of times `message` was held back since it was last told, if it is to be told; None if it is held back too."""
        now = self._now_s()
        told_s, times = self._told.get(message, (now - AGAIN_AFTER_S, 0))
        if now - told_s < AGAIN_AFTER_S:
            self._told[message] = (told_s, times + 1)
            return None
        self._told.pop(message, None)
        self._told[message] = (now, 0)
        if len(self._told) > _MOST_REMEMBERED:
            del self._told[next(iter(self._told))]
        return times


class Problems:
    """The problems of a link as a person hears of them: `tell` gets each text as often as `Repeats` allows. Never raises."""

    def __init__(self, tell: Callable[[str], None], now_s: Callable[[], float] = time.monotonic) -> None:
        self._tell, self._repeats = tell, Repeats(now_s)
        self.current = ""
        """The text of the last problem since `solved`, or an empty one."""

    def report(self, text: str) -> None:
        """Tell that something is wrong."""
        self.current = text
        times = self._repeats.held_back(text)
        if times is not None:
            with suppress(Exception):  # a log that fails must not stop the link
                self._tell(text if not times else f"{text} ({times} more times)")

    def solved(self) -> None:
        """Note that nothing is wrong any more."""
        self.current = ""
