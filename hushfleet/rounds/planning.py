"""A job in the words of the person who runs it, and the plan that follows for one round."""

from dataclasses import dataclass
from fractions import Fraction

from hushfleet.documents import EMPTY_JOURNAL, JournalHead, Plan, PrivacyPlan, VerifiedRoster
from hushfleet.documents.plan import SELECT_ALL
from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy import derive
from hushfleet.rounds.plan_check import SLOTS_IN_A_DEADLINE
from hushfleet.rounds.tasks.base import JobTask, Progress
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES


@dataclass(frozen=True, slots=True)
class Job:
    """The part that all rounds of a job have in common.

    `min_devices` and `max_devices` bound the cohort; `noise_multiplier` is that of the sum, at the smallest cohort, with the
    policy's colluders left out. `accept_slow` consents to a model that costs more than the scheme was made for;
    `sending_slot_s` None: the shortest that a plan may have.
    """

    task: JobTask
    clip_norm: float
    noise_multiplier: Fraction | float | str
    min_devices: int
    max_devices: int
    scheme: str = "paillier"
    deadline_s: int = 600
    sending_slot_s: int | None = None
    selection: int = SELECT_ALL
    keep_one_in: int = 1
    without_privacy: bool = False
    accept_slow: bool = False


def make_plan(job: Job, roster: VerifiedRoster, progress: Progress, round_number: int, journal: JournalHead = EMPTY_JOURNAL) -> Plan:
    """The plan of one round: its integers follow from the job and the policy. Raises `LocalError` if no plan can hold the job."""
    n = derive(
        dimension=job.task.dimension,
        clip_norm=job.clip_norm,
        noise_multiplier=job.noise_multiplier,
        k_min=job.min_devices,
        k_max=job.max_devices,
        colluding=roster.policy.colluding_contributors,
        keep_one_in=job.keep_one_in,
        without_privacy=job.without_privacy,
    )
    plan = Plan(
        fleet=roster.roster.fleet,
        key_id=roster.key_id,
        roster_serial=roster.roster.serial,
        roster_hash=roster.digest,
        round=round_number,
        task=job.task.planned(progress),
        scheme=job.scheme,
        dimension=job.task.dimension,
        privacy=PrivacyPlan(n.b2, n.variance, n.bound, n.k_min, n.k_max, n.slot_bits, n.keep_one_in),
        clip_norm=n.clip_norm,
        scale=n.scale,
        sending_slot_s=job.sending_slot_s or -(-job.deadline_s // SLOTS_IN_A_DEADLINE),
        journal=journal,
        selection=job.selection,
        deadline_s=job.deadline_s,
    )
    _require_consent(job, plan, roster)
    return plan


def _require_consent(job: Job, plan: Plan, roster: VerifiedRoster) -> None:
    """Raise `LocalError(PLAN_DIMENSION)` for a cost that the job has to ask for and did not."""
    scheme = ORCHESTRATOR_SCHEMES.get(job.scheme)
    slow = scheme.profile.costs(plan, roster).slow if scheme is not None else ""
    if slow and not job.accept_slow:
        raise LocalError(Refusal.PLAN_DIMENSION, slow, next_step="Train fewer values, or set accept_slow = true under [aggregation].")
