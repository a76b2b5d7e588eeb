"""The seam of the tasks at the orchestrator: a job's task, and the progress that it carries from round to round.

A round releases one vector, the mean of what the cohort contributed. What the vector means is the task's alone: training takes an
optimiser step with it, a question reads its answer from it.
"""

from collections.abc import Mapping
from typing import Protocol

from hushfleet.aggregation import AggregateUpdate
from hushfleet.documents import AnswerResult, ModelResult, Task
from hushfleet.schemes.base import RoundTerms
from hushfleet.wire import Topic

RoundResult = ModelResult | AnswerResult


class Progress(Protocol):
    """The state of a job's task between two rounds: a value, the same bits on every machine."""

    @property
    def version(self) -> int:
        """The number of releases so far, or the model's version."""

    @property
    def result(self) -> bytes:
        """The public outcome so far, archived before and after each round: for training, the parameters of the model."""

    def to_bytes(self) -> bytes:
        """Everything, in the form in which the store keeps it; `JobTask.restore` is the inverse."""

    def retained(self, fleet: str) -> Mapping[Topic, bytes]:
        """The messages that the broker retains for the devices from now on."""


class Releasing(Protocol):
    """The part of a task that orchestrator and auditor share: the meaning of a released vector."""

    def released(self, progress: Progress, aggregate: AggregateUpdate, *, max_abs: float) -> Progress:
        """The progress after a release. Raises `PeerError` if the outcome must not be released: the round aborts."""

    def result(self, before: Progress, after: Progress) -> RoundResult:
        """The task's part of the round record."""


class AuditedTask(Releasing, Protocol):
    """A finished round's task as its plan and record state it, for an auditor. Raises `PeerError` for what cannot be."""

    def start(self, terms: RoundTerms, before: bytes) -> Progress:
        """The progress before a job's first round, from the archived `Progress.result`."""

    def begins_from(self, progress: Progress) -> bool:
        """True if the plan's task begins from exactly this progress."""


class JobTask(Releasing, Protocol):
    """The task of a job, in the words of the person who runs it."""

    @property
    def dimension(self) -> int:
        """d, the number of values in each device's vector."""

    def planned(self, progress: Progress) -> Task:
        """The task of the next round's plan."""

    def approve(self, before: Progress, after: Progress) -> None:
        """Return if this orchestrator wants to release `after`; else raise `PeerError`, and the round aborts."""

    def restore(self, data: bytes) -> Progress:
        """The inverse of `Progress.to_bytes`. Raises `PeerError`."""
