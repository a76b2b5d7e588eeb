"""SIGINT and SIGTERM as a wish to stop: the program ends after its step, and a second signal ends the process."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Call `stop` at the first SIGINT or SIGTERM inside the block, and yield the list of those that came.

    From the first signal on, and after the block, both mean what they meant before. For the main thread alone.
    """
    caught: list[int] = []
    before = {number: signal.getsignal(number) for number in _STOPPING}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(number: int, _: object) -> None:
        caught.append(number)
        restore()
        stop()

    for number in _STOPPING:
        signal.signal(number, on_signal)
    try:
        yield caught
    finally:
        restore()
