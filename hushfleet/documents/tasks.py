"""The tasks that a plan may set, a tagged union (PROTOCOL 5.1). Whatever the task, a device contributes one vector of d values."""

from hushfleet.codec import Message
from hushfleet.documents.local_training import LocalTraining
from hushfleet.documents.validation import require_counts, require_hashes, require_name
from hushfleet.errors import FaultyOrchestrator, Refusal

NO_NORMALISER = b""


class TrainTask(Message, frozen=True, tag="train"):
    """One local training from the parameters with `parameter_hash`; the vector is what changed.

    `model` is the name under which the policy allows `architecture_hash`; `normaliser_hash` is 32 bytes, or none.
    Raises `PeerError`: `MESSAGE_MALFORMED`.
    """

    model: str
    architecture_hash: bytes
    model_version: int
    parameter_hash: bytes
    training: LocalTraining
    normaliser_hash: bytes

    def __post_init__(self) -> None:
        _check_model(self.model, self.architecture_hash, self.model_version, self.parameter_hash, self.normaliser_hash)


class EvaluateTask(Message, frozen=True, tag="evaluate"):
    """The quality of the model with `parameter_hash` on rows that the device never trained on. Fields and errors as `TrainTask`."""

    model: str
    architecture_hash: bytes
    model_version: int
    parameter_hash: bytes
    normaliser_hash: bytes

    def __post_init__(self) -> None:
        _check_model(self.model, self.architecture_hash, self.model_version, self.parameter_hash, self.normaliser_hash)


class MeasureTask(Message, frozen=True, tag="measure"):
    """The answer to a question that the policy allows by name and hash. Raises `PeerError(MESSAGE_MALFORMED)`."""

    question: str
    question_hash: bytes

    def __post_init__(self) -> None:
        require_name(self.question)
        require_hashes(self.question_hash)


Task = TrainTask | EvaluateTask | MeasureTask

TASKS = ("train", "evaluate")
"""The tasks that a policy allows by this name alone; a `measure` is allowed by its question."""


def task_name(task: Task) -> str:
    """The tag: `train`, `evaluate` or `measure`."""
    return str(task.__struct_config__.tag)


def require_train(task: Task) -> TrainTask:
    """The task, if it is a training: the only one that this version carries out. Else `FaultyOrchestrator(PLAN_TASK)`."""
    if not isinstance(task, TrainTask):
        raise FaultyOrchestrator(Refusal.PLAN_TASK, f"this version knows no task {task_name(task)!r}")
    return task


def _check_model(name: str, architecture: bytes, version: int, parameters: bytes, normaliser: bytes) -> None:
    require_name(name)
    require_hashes(architecture, parameters, *((normaliser,) if normaliser != NO_NORMALISER else ()))
    require_counts(version)
