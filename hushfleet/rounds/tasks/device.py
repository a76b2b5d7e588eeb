"""A device's side of each task: the bytes that it fetches before it works, and what they must be."""

from hushfleet.documents import Task, TrainTask
from hushfleet.errors import FaultyOrchestrator, Refusal
from hushfleet.schemes.base import RoundTerms
from hushfleet.training import GlobalModel


def wanted_input(task: Task) -> bytes | None:
    """The SHA-256 of the bytes that the task starts from, or None if it needs none."""
    return task.parameter_hash if isinstance(task, TrainTask) else None


def opened_input(terms: RoundTerms, data: bytes) -> GlobalModel:
    """The model in `data`, whose hash was compared. Raises `PeerError` for what no model of this plan is."""
    plan, task = terms.plan, terms.plan.task
    if not isinstance(task, TrainTask):
        raise FaultyOrchestrator(Refusal.PLAN_TASK, "this task starts from no model")
    max_abs = terms.roster.policy.max_abs_parameter
    return GlobalModel.from_bytes(data, version=task.model_version, dimension=plan.dimension, max_abs=max_abs)
