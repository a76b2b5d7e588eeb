"""Training at the orchestrator: the model in force and the global optimiser's state go from round to round (PROTOCOL 5.5)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from hushfleet.aggregation import AggregateUpdate, GlobalOptimizer, OptimizerState, RunningOptimizer, optimizer
from hushfleet.documents import NO_NORMALISER, LocalTraining, ModelResult, OptimizerSettings, Task, TrainTask
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.labels import length_prefixed, unsigned
from hushfleet.rounds.tasks.base import Progress, RoundResult
from hushfleet.schemes.base import RoundTerms
from hushfleet.training import Architecture, GlobalModel, update_global
from hushfleet.wire import Kind, Topic

_VERSION_BYTES = 8
_LENGTH_BYTES = 4

Approval = Callable[[GlobalModel, GlobalModel], None]
"""Takes the model in force and the next one; raises `PeerError` if the next one must not be released. It depends on these alone."""


def approve_all(_: GlobalModel, __: GlobalModel) -> None:
    """The approval of a job without a holdout."""


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The model in force and the state of the global optimiser. Satisfies `Progress`."""

    model: GlobalModel
    optimizer_state: OptimizerState = field(repr=False)

    @classmethod
    def start(cls, model: GlobalModel) -> Self:
        """The progress before the first round."""
        return cls(model, OptimizerState.initial(model.dimension))

    @property
    def version(self) -> int:
        """The model's version."""
        return self.model.version

    @property
    def result(self) -> bytes:
        """The model's parameters as they travel."""
        return self.model.to_bytes()

    def to_bytes(self) -> bytes:
        """u64 version, the length-prefixed parameters, the optimiser's state."""
        return unsigned(self.model.version, _VERSION_BYTES) + length_prefixed(self.model.to_bytes()) + self.optimizer_state.to_bytes()

    def retained(self, fleet: str) -> Mapping[Topic, bytes]:
        """The model in force, under its hash."""
        return {Topic(fleet, Kind.MODEL, digest=self.model.digest.hex(), chunk=0): self.model.to_bytes()}


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """The task of a training job: an architecture under the name that the policy knows, local training, the global optimiser.

    `approve_model` sees every next model before anybody else does. Satisfies `JobTask`.
    """

    architecture: Architecture
    training: LocalTraining
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings("fedavg", ()))
    approve_model: Approval = approve_all

    @property
    def dimension(self) -> int:
        """d, the number of model values."""
        return self.architecture.dimension

    def make_optimizer(self) -> GlobalOptimizer:
        """The global optimiser. Raises `LocalError(SETTINGS_INVALID)`."""
        return make_optimizer(self.optimizer)

    def planned(self, progress: Progress) -> Task:
        """Training from the model in force."""
        model = own(progress).model
        return TrainTask(
            model=self.architecture.name,
            architecture_hash=self.architecture.digest,
            model_version=model.version,
            parameter_hash=model.digest,
            training=self.training,
            normaliser_hash=NO_NORMALISER,
        )

    def released(self, progress: Progress, aggregate: AggregateUpdate, *, max_abs: float) -> TrainingProgress:
        """One step of the global optimiser. Raises `PeerError` for a model that is not finite or beyond `max_abs`."""
        return _stepped(self.make_optimizer(), own(progress), aggregate, max_abs)

    def approve(self, before: Progress, after: Progress) -> None:
        """Ask `approve_model`."""
        self.approve_model(own(before).model, own(after).model)

    def result(self, before: Progress, after: Progress) -> RoundResult:
        """The hashes of both models, and the optimiser, so that an auditor can repeat its step."""
        return _stated(self.optimizer, own(before), own(after))

    def restore(self, data: bytes) -> TrainingProgress:
        """The inverse of `TrainingProgress.to_bytes`. Raises `PeerError`."""
        version, rest = int.from_bytes(data[:_VERSION_BYTES], "big"), data[_VERSION_BYTES:]
        end = _LENGTH_BYTES + int.from_bytes(rest[:_LENGTH_BYTES], "big")
        model = GlobalModel.from_bytes(rest[_LENGTH_BYTES:end], version=version, dimension=self.dimension, max_abs=math.inf)
        return TrainingProgress(model, OptimizerState.from_bytes(rest[end:]))


@dataclass(frozen=True, slots=True)
class AuditedTraining:
    """A training round as its plan and record state it. Satisfies `AuditedTask`."""

    task: TrainTask
    optimizer: OptimizerSettings

    def start(self, terms: RoundTerms, before: bytes) -> TrainingProgress:
        """The model before the first round, with a fresh optimiser. Raises `PeerError`."""
        max_abs = terms.roster.policy.max_abs_parameter
        model = GlobalModel.from_bytes(before, version=self.task.model_version, dimension=terms.plan.dimension, max_abs=max_abs)
        return TrainingProgress.start(model)

    def begins_from(self, progress: Progress) -> bool:
        """True if the plan names the model in force by version and hash."""
        model = own(progress).model
        return (self.task.model_version, self.task.parameter_hash) == (model.version, model.digest)

    def released(self, progress: Progress, aggregate: AggregateUpdate, *, max_abs: float) -> TrainingProgress:
        """One step of the optimiser that the record names. Raises `PeerError`, also for one that does not exist or does not go on."""
        try:
            return _stepped(make_optimizer(self.optimizer), own(progress), aggregate, max_abs)
        except LocalError as error:  # here the settings are the orchestrator's
            raise PeerError(Refusal.ARCHIVE, error.message) from error

    def result(self, before: Progress, after: Progress) -> RoundResult:
        """The hashes that the record must state."""
        return _stated(self.optimizer, own(before), own(after))


def make_optimizer(settings: OptimizerSettings) -> GlobalOptimizer:
    """The global optimiser that a record or a job names. Raises `LocalError(SETTINGS_INVALID)`."""
    return optimizer(settings.name, **dict(settings.settings))


def _stepped(chosen: GlobalOptimizer, before: TrainingProgress, aggregate: AggregateUpdate, max_abs: float) -> TrainingProgress:
    running = RunningOptimizer(chosen, before.optimizer_state)
    return TrainingProgress(update_global(before.model, aggregate, running, max_abs=max_abs), running.state)


def _stated(optimizer_settings: OptimizerSettings, before: TrainingProgress, after: TrainingProgress) -> ModelResult:
    return ModelResult(before.model.digest, after.model.digest, after.model.version, optimizer_settings)


def own(progress: Progress) -> TrainingProgress:
    """A training job's progress. Raises `LocalError(SETTINGS_INVALID)` for another task's."""
    if not isinstance(progress, TrainingProgress):
        raise LocalError(Refusal.SETTINGS_INVALID, f"a training job cannot go on from {type(progress).__name__}")
    return progress
