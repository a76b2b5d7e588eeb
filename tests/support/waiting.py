"""`eventually`: waiting for a condition with a deadline, instead of sleeping and hoping."""

import time
from collections.abc import Callable

_EVERY_S = 0.01


def eventually(condition: Callable[[], object], within_s: float = 20.0) -> None:
    """Return as soon as `condition()` is true. AssertionError if it is not within `within_s`."""
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, f"not within {within_s:g} s: {condition}"
        time.sleep(_EVERY_S)
