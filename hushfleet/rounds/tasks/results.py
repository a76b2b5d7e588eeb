"""The results that records state, for those who read them: an auditor, and the orchestrator after a crash."""

from hushfleet.documents import ModelResult, Task, TrainTask
from hushfleet.errors import PeerError, Refusal
from hushfleet.rounds.tasks.base import AuditedTask, RoundResult
from hushfleet.rounds.tasks.train import AuditedTraining
from hushfleet.wire import Kind, Topic


def audited_task(task: Task, result: RoundResult) -> AuditedTask:
    """The task of a plan with the result of its record. Raises `PeerError(ARCHIVE)` if the two are not of one kind."""
    if isinstance(task, TrainTask) and isinstance(result, ModelResult):
        return AuditedTraining(task, result.optimizer)
    raise PeerError(Refusal.ARCHIVE, f"a {type(result).__name__} is no result of a {type(task).__name__}")


def retained_topics(fleet: str, result: RoundResult) -> tuple[Topic, ...]:
    """The topics of the task that the broker may have retained before or after the round of `result`."""
    if not isinstance(result, ModelResult):
        return ()
    digests = sorted({result.model_before, result.model_after})
    return tuple(Topic(fleet, Kind.MODEL, digest=digest.hex(), chunk=0) for digest in digests)
