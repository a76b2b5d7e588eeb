"""`eventually`: waiting for a condition with one generous limit for all tests, instead of sleeping and hoping."""

import time
from collections.abc import Callable

LIMIT_S = 300.0
"""The longest that any test waits for anything. A slow or busy machine does not reach it; only a defect does."""
_EVERY_S = 0.01


def eventually(condition: Callable[[], object]) -> None:
    """Return as soon as `condition()` is true. AssertionError if it is not within `LIMIT_S`."""
    until_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until_s, f"not within {LIMIT_S:g} s: {condition}"
        time.sleep(_EVERY_S)
