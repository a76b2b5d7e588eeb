"""What goes wrong with a link, told to a person once and not a thousand times."""

import math
import time
from collections.abc import Callable
from contextlib import suppress

_AGAIN_AFTER_S = 600.0
_MOST_REMEMBERED = 64


class Repeats:
    """Passes texts on to `tell`: each at once, then at most every ten minutes with the number of times. Never raises."""

    def __init__(self, tell: Callable[[str], None], now_s: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._now_s = now_s
        self._told: dict[str, tuple[float, int]] = {}
        self.current = ""
        """The last one since `solved`, for whoever asks."""

    def report(self, text: str) -> None:
        """Something is wrong."""
        self.current = text
        told_s, times = self._told.pop(text, (-math.inf, 0))
        if self._now_s() - told_s >= _AGAIN_AFTER_S:
            self._told[text] = (self._now_s(), 0)
            with suppress(Exception):  # a log that fails must not stop the link
                self._tell(text if not times else f"{text} ({times} more times)")
        else:
            self._told[text] = (told_s, times + 1)
        if len(self._told) > _MOST_REMEMBERED:
            self._told.pop(next(iter(self._told)))

    def solved(self) -> None:
        """Nothing is wrong now."""
        self.current = ""
