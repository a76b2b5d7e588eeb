"""The one thread that trains: behind everything else on the machine, and no reason to wait at the end."""

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Task = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Worker(Executor):
    """Runs one task after the other in one thread of its own. `nice`: 0 as others, 19 after all others.

    The standard pool would keep a process alive until its last task is done; this one dies with it, and the round starts anew.
    """

    def __init__(self, nice: int = 0) -> None:
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(nice,), name="training", daemon=True).start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a call."""
        future: Future[T] = Future()
        self._tasks.put((future, fn, args, kwargs))
        return future

    def _run(self, nice: int) -> None:
        own = threading.get_native_id()  # on Linux a thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, own, max(nice, os.getpriority(os.PRIO_PROCESS, own)))
        while True:
            future, fn, args, kwargs = self._tasks.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 -- whoever asks for the result gets it
                future.set_exception(error)
            del future, fn, args, kwargs  # an update must not wait in memory for the next task
