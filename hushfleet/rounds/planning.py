"""A training job in the words of the person who runs it, and the plan that follows for one round."""

from dataclasses import dataclass, field
from fractions import Fraction

from hushfleet.aggregation import GlobalOptimizer, optimizer
from hushfleet.documents import EMPTY_JOURNAL, NO_NORMALISER, LocalTraining, OptimizerSettings, Plan, PrivacyPlan, TrainTask, VerifiedRoster
from hushfleet.documents.plan import SELECT_ALL
from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy import derive
from hushfleet.rounds.plan_check import SLOTS_IN_A_DEADLINE
from hushfleet.schemes.paillier import MOST_VALUES
from hushfleet.training import Architecture, GlobalModel


@dataclass(frozen=True, slots=True)
class Job:
    """What every round of a job has in common.

    `min_devices` and `max_devices` bound the cohort; `noise_multiplier` is that of the sum, at the smallest cohort, with the policy's
    colluders left out; `optimizer` names a global optimiser and its settings. `sending_slot_s` None: the shortest that a plan may have.
    """

    architecture: Architecture
    training: LocalTraining
    clip_norm: float
    noise_multiplier: Fraction | float | str
    min_devices: int
    max_devices: int
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings("fedavg", ()))
    scheme: str = "paillier"
    deadline_s: int = 600
    sending_slot_s: int | None = None
    selection: int = SELECT_ALL
    keep_one_in: int = 1
    without_privacy: bool = False
    accept_slow: bool = False
    """Take a model that the scheme was not made for, and wait."""

    def make_optimizer(self) -> GlobalOptimizer:
        """The global optimiser. Raises `LocalError(SETTINGS_INVALID)`."""
        return make_optimizer(self.optimizer)


def make_optimizer(settings: OptimizerSettings) -> GlobalOptimizer:
    """The global optimiser that a record or a job names. Raises `LocalError(SETTINGS_INVALID)`."""
    return optimizer(settings.name, **dict(settings.settings))


def make_plan(job: Job, roster: VerifiedRoster, model: GlobalModel, round_number: int) -> Plan:
    """The plan of one round: its integers follow from the job and the policy. Raises `LocalError` if no plan can hold it."""
    _check_size(job)
    n = derive(
        dimension=job.architecture.dimension,
        clip_norm=job.clip_norm,
        noise_multiplier=job.noise_multiplier,
        k_min=job.min_devices,
        k_max=job.max_devices,
        colluding=roster.policy.colluding_contributors,
        keep_one_in=job.keep_one_in,
        without_privacy=job.without_privacy,
    )
    return Plan(
        fleet=roster.roster.fleet,
        key_id=roster.key_id,
        roster_serial=roster.roster.serial,
        roster_hash=roster.digest,
        round=round_number,
        task=TrainTask(job.architecture.name, job.architecture.digest, model.version, model.digest, job.training, NO_NORMALISER),
        scheme=job.scheme,
        dimension=job.architecture.dimension,
        privacy=PrivacyPlan(n.b2, n.variance, n.bound, n.k_min, n.k_max, n.slot_bits, n.keep_one_in),
        clip_norm=n.clip_norm,
        scale=n.scale,
        sending_slot_s=job.sending_slot_s or -(-job.deadline_s // SLOTS_IN_A_DEADLINE),
        journal=EMPTY_JOURNAL,
        selection=job.selection,
        deadline_s=job.deadline_s,
    )


def _check_size(job: Job) -> None:
    """Scheme `paillier` costs every member about 60 ms for each 153 values (PROTOCOL 4)."""
    d = job.architecture.dimension
    if job.scheme == "paillier" and d > MOST_VALUES and not job.accept_slow:
        message = f"{d} values are many for scheme paillier: every committee member decrypts each of them, hundreds of values a second"
        raise LocalError(Refusal.PLAN_DIMENSION, message, next_step=f"Train at most {MOST_VALUES} values, or accept a slow round.")
