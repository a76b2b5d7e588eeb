"""Which trainer belongs to which architecture hash on this device."""

import os
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from hushfleet.documents import NamedHash, TrainTask, VerifiedRoster, open_plan
from hushfleet.errors import PeerError
from hushfleet.training import Trainer
from hushfleet.wire import decode_signed

Find = Callable[[str], Trainer | None]
"""From the name of a model to its trainer."""


class Trainers:
    """The configured trainers, and those found for a plan: only names that the owner's policy allows are looked for, once each."""

    def __init__(self, known: Mapping[bytes, Trainer], find: Find = lambda _: None) -> None:
        self._known, self._find = dict(known), find
        self._tried: set[NamedHash] = set()
        self.dimensions = {digest: trainer.architecture.dimension for digest, trainer in known.items()}
        """Hash -> number of values. Grows in place."""

    def __getitem__(self, architecture_hash: bytes) -> Trainer:
        """KeyError for a hash that nobody knows."""
        return self._known[architecture_hash]

    def prepare(self, roster: VerifiedRoster | None, plan: bytes) -> None:
        """Before a device judges `plan` (as it arrived) under `roster`: look for its trainer. What is wrong with it, the device says."""
        if roster is None:
            return
        try:
            wanted = open_plan(decode_signed(plan), roster.orchestrator).plan.task
        except PeerError:
            return
        if not isinstance(wanted, TrainTask):
            return
        digest, one = wanted.architecture_hash, NamedHash(wanted.model, wanted.architecture_hash)
        if digest in self._known or one in self._tried or one not in roster.policy.models:
            return
        self._tried.add(one)
        found = self._find(wanted.model)
        if found is not None and found.architecture.digest == digest:
            self._known[digest] = found
            self.dimensions[digest] = found.architecture.dimension


P = ParamSpec("P")
T = TypeVar("T")

_Task = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class TrainingThread(Executor):
    """A thread that runs one training after the other. `nice`: its priority, from 0 as others to 19 after all others.

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
