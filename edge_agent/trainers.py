"""The trainers of a device, and the one thread that trains.

A trainer is known by its architecture hash. The configured ones are there from the start; others are built by the name that a
plan gives and kept, the least recently used making room.
"""

import os
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from hushfleet.documents import TrainTask
from hushfleet.errors import LocalError, Refusal
from hushfleet.training import Trainer, is_from_keyboard

Build = Callable[[str], Trainer | None]
"""From a model's name to its trainer, or None for a name that means nothing here. Opens no file."""

_MOST_BUILT = 4


class Trainers:
    """The configured trainers by architecture hash, and those that were built for a plan."""

    def __init__(self, configured: Mapping[bytes, Trainer], build: Build = lambda _: None) -> None:
        self._configured, self._build = dict(configured), build
        self._built: OrderedDict[bytes, Trainer] = OrderedDict()

    def require(self, task: TrainTask, dimension: int) -> Trainer:
        """The trainer of the plan's model; its hash is the plan's. Raises `LocalError(MODEL_ABSENT)` if there is none here."""
        found = self._configured.get(task.architecture_hash) or self._built.get(task.architecture_hash) or self._build(task.model)
        if found is None or (found.architecture.digest, found.architecture.dimension) != (task.architecture_hash, dimension):
            raise LocalError(
                Refusal.MODEL_ABSENT,
                f"this device has no trainer for the plan's model {task.model}",
                next_step="Name its file under [training] models in agent.toml.",
            )
        if task.architecture_hash not in self._configured:
            self._built[task.architecture_hash] = found
            self._built.move_to_end(task.architecture_hash)
            while len(self._built) > _MOST_BUILT:
                self._built.popitem(last=False)
        return found

    def known(self, models: Mapping[str, bytes]) -> dict[str, Trainer]:
        """Trainers for these names and hashes, as far as there are any here. Builds what a name stands for; opens no graph."""
        found = {name: self._configured.get(digest) or self._built.get(digest) or self._build(name) for name, digest in models.items()}
        own = {trainer.architecture.name: trainer for trainer in self._configured.values()}
        return own | {name: one for name, one in found.items() if one is not None and one.architecture.digest == models[name]}


P = ParamSpec("P")
T = TypeVar("T")

_Task = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class TrainingThread(Executor):
    """A thread that runs one training after the other, at a low priority. `nice`: 0 as others, 19 after all others.

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


class SameThread(Executor):
    """The caller's own thread: what is submitted is done before `submit` returns."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do the call."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # whoever asks for the result gets it
            if is_from_keyboard(error):
                raise
            future.set_exception(error)
        return future
