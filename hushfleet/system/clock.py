"""The monotonic clock of a program, in whole milliseconds as the state machines take them."""

import time


def now_ms() -> int:
    """The milliseconds since some moment before the process began. Never goes back; means nothing to another machine."""
    return time.monotonic_ns() // 1_000_000
