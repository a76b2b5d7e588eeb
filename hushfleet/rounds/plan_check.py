"""The one policy function: every check of the table of a plan's fields, a line each (PROTOCOL 6, what is checked of a plan).

A device calls it before training and a member before decrypting, each against its own current roster.
Roster order and round numbers depend on what each has seen and are judged in their own machines.
"""

import math
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from fractions import Fraction

from hushfleet.documents import (
    NO_NORMALISER,
    MeasureTask,
    NamedHash,
    Plan,
    Policy,
    Task,
    TrainTask,
    VerifiedPlan,
    VerifiedRoster,
    task_name,
)
from hushfleet.documents.limits import MAX_COHORT, MAX_VALUES
from hushfleet.errors import FaultyOrchestrator, Refusal
from hushfleet.privacy import block_size, padded_dimension, sensitivity_matches
from hushfleet.privacy import integer_rules as rules
from hushfleet.privacy.ledger import rho_nano
from hushfleet.schemes.base import Scheme

MAX_DEADLINE_S = 30 * 24 * 3600
SLOTS_IN_A_DEADLINE = 64
"""A sending slot is at least this part of the deadline."""
SELECTION_RANGE = range(65_537)


class Standing(Enum):
    """The relation of a plan's roster to the roster held here."""

    SAME = "same"
    WAIT = "wait for the roster that the plan names"
    STAY_OUT = "stay out: the plan names an older roster"


def standing(plan: Plan, roster: VerifiedRoster) -> Standing:
    """A device takes part on equality of hashes only (PROTOCOL 5.1). Two hashes for one serial prove nothing here: stay out."""
    if plan.roster_hash == roster.digest:
        return Standing.SAME
    return Standing.WAIT if plan.roster_serial > roster.roster.serial else Standing.STAY_OUT


def check_plan(plan: VerifiedPlan, roster: VerifiedRoster, schemes: Mapping[str, Scheme]) -> None:
    """Return if the plan is within the owner's policy and `schemes`, the registry of the caller's role, can carry it.

    Raises `FaultyOrchestrator` with the first check that fails.
    """
    for reason, holds, text in _checks(plan.plan, roster, schemes):
        if not holds:
            raise FaultyOrchestrator(reason, f"round {plan.plan.round}: {text}")


def plan_problems(plan: Plan, roster: VerifiedRoster, schemes: Mapping[str, Scheme]) -> tuple[tuple[Refusal, str], ...]:
    """Every check that fails, for whoever is about to write such a plan."""
    return tuple((reason, text) for reason, holds, text in _checks(plan, roster, schemes) if not holds)


def nano_rho(plan: Plan, roster: VerifiedRoster) -> int:
    """The cost of one participation, in 10^-9 rho, from the plan's integers and the policy's c (PROTOCOL 6). 0 without privacy."""
    if plan.privacy.variance == 0:
        return 0
    return rho_nano(plan.privacy.b2, honest(plan, roster), plan.privacy.variance)


def honest(plan: Plan, roster: VerifiedRoster) -> int:
    """`h` = min_devices - c: contributors whose noise is counted on."""
    return rules.honest_contributors(plan.privacy.min_devices, roster.policy.colluding_contributors)


def _checks(plan: Plan, roster: VerifiedRoster, schemes: Mapping[str, Scheme]) -> Iterator[tuple[Refusal, bool, str]]:
    policy, n = roster.policy, plan.privacy
    z2, h, private = policy.min_noise_squared, honest(plan, roster), n.variance != 0
    yield Refusal.PLAN_FLEET, plan.fleet == roster.roster.fleet, "it is for another fleet"
    yield Refusal.PLAN_KEY, plan.key_id == roster.key_id, "it is for another key or committee"
    # A serial that is not the hash's would let a member with an older roster answer for devices that hold the newer one.
    one_roster = (plan.roster_serial == roster.roster.serial) == (plan.roster_hash == roster.digest)
    yield Refusal.PLAN_ROSTER, one_roster, f"it names roster {plan.roster_serial} by the hash of another"
    yield from _task_checks(plan.task, policy)
    yield Refusal.PLAN_DIMENSION, 1 <= plan.dimension <= policy.max_values, f"{plan.dimension} values, allowed {policy.max_values}"
    yield Refusal.PLAN_SCHEME, plan.scheme in policy.schemes, f"the owner did not allow the scheme {plan.scheme[:40]!r}"
    scheme = schemes.get(plan.scheme)
    yield Refusal.PLAN_SCHEME, scheme is not None, f"this version has no scheme {plan.scheme[:40]!r}"
    # A contribution that no orchestrator takes would cost budget every round and give nothing.
    misfit = _misfit(plan, roster, scheme)
    yield Refusal.PLAN_DIMENSION, not misfit, misfit
    least, most = n.min_devices, n.max_devices
    yield Refusal.PLAN_COHORT_FLOOR, least >= policy.min_devices, f"min_devices {least} is below the owner's {policy.min_devices}"
    yield Refusal.PLAN_COHORT_ORDER, least <= most, f"min_devices {least} is above max_devices {most}"
    yield Refusal.PLAN_COHORT_CEILING, most <= min(policy.max_devices, MAX_COHORT), f"max_devices {most} is above the owner's"
    yield Refusal.PLAN_HONEST_CONTRIBUTORS, rules.enough_honest_contributors(least, policy.colluding_contributors), "fewer than 2 honest"
    yield Refusal.PLAN_WITHOUT_PRIVACY, private or policy.allow_without_privacy, "it adds no noise, which the owner did not allow"
    yield Refusal.PLAN_VARIANCE, not private or rules.enough_variance(n.variance), f"variance {n.variance} is below 16"
    yield Refusal.PLAN_VARIANCE, rules.drawable(n.variance), f"variance {n.variance} is more than any device draws"
    yield Refusal.PLAN_SENSITIVITY, rules.positive_sensitivity(n.b2) and n.bound >= 1, "B2 and B must be at least 1"
    yield (
        Refusal.PLAN_NOISE,
        not private or rules.enough_noise(h, n.variance, z2.numerator, z2.denominator, n.b2),
        f"the noise of {h} honest contributors is below the owner's z^2 = {z2}",
    )
    yield Refusal.PLAN_KEEP, n.keep_one_in in rules.KEEP_CHOICES, f"one coordinate in {n.keep_one_in} kept"
    yield Refusal.PLAN_CLIP_NORM, _positive(plan.clip_norm), "the clip norm must be finite and positive"
    yield Refusal.PLAN_SCALE, _positive(plan.scale), "the scale must be finite and positive"
    # After clip norm and scale: what follows computes with them.
    matches = sensitivity_matches(n.b2, scale=plan.scale, clip_norm=plan.clip_norm, padded=_padded(plan))
    yield Refusal.PLAN_SENSITIVITY, matches, f"B2 = {n.b2} does not follow from scale and clip norm"
    yield Refusal.PLAN_SLOTS, rules.width_possible(n.slot_bits), f"slots of {n.slot_bits} bits"
    yield Refusal.PLAN_SLOTS, _slots_hold(plan), f"a value or the sum could leave its slot of {n.slot_bits} bits"
    yield Refusal.PLAN_SELECTION, plan.selection in SELECTION_RANGE, f"selection {plan.selection}"
    yield Refusal.PLAN_DEADLINE, 1 <= plan.deadline_s <= MAX_DEADLINE_S, f"deadline of {plan.deadline_s} s"
    slot = plan.sending_slot_s
    fits = slot <= plan.deadline_s <= SLOTS_IN_A_DEADLINE * slot
    yield Refusal.PLAN_SENDING_SLOT, fits, f"sending slot of {slot} s; from 1/{SLOTS_IN_A_DEADLINE} of the deadline to the deadline"


def _task_checks(task: Task, policy: Policy) -> Iterator[tuple[Refusal, bool, str]]:
    if isinstance(task, MeasureTask):
        allowed = NamedHash(task.question, task.question_hash) in policy.questions
    else:
        allowed = task_name(task) in policy.tasks
    yield Refusal.PLAN_TASK, allowed, f"the owner did not allow this task: {task_name(task)}"
    yield Refusal.PLAN_TASK, isinstance(task, TrainTask), f"this version knows no task {task_name(task)!r}"
    if not isinstance(task, TrainTask):
        return
    named = NamedHash(task.model, task.architecture_hash) in policy.models
    yield Refusal.PLAN_ARCHITECTURE, named, f"the owner did not allow the model {task.model!r} with this hash"
    yield Refusal.PLAN_NORMALISER, task.normaliser_hash == NO_NORMALISER, "this version knows no normaliser"
    t = task.training
    yield Refusal.PLAN_STEPS, t.local_steps <= policy.max_local_steps, f"{t.local_steps} local steps"
    yield Refusal.PLAN_BATCH_SIZE, t.batch_size <= policy.max_batch_size, f"batch size {t.batch_size}"
    yield Refusal.PLAN_LEARNING_RATE, t.learning_rate <= policy.max_learning_rate, f"learning rate {t.learning_rate}"
    yield Refusal.PLAN_PROXIMAL, t.proximal <= policy.max_proximal, f"proximal term {t.proximal}"


def _padded(plan: Plan) -> int:
    """d', or 0 for a dimension that another check refuses."""
    return padded_dimension(plan.dimension) if 1 <= plan.dimension <= MAX_VALUES else 0


def _misfit(plan: Plan, roster: VerifiedRoster, scheme: Scheme | None) -> str:
    """The reason why no contribution can carry the plan; empty if one can, or if another check refuses what this one computes with."""
    n = plan.privacy
    if scheme is None or not (_padded(plan) and rules.width_possible(n.slot_bits) and n.keep_one_in in rules.KEEP_CHOICES):
        return ""
    return scheme.profile.misfit(plan, roster)


def _slots_hold(plan: Plan) -> bool:
    n = plan.privacy
    if not (_padded(plan) and rules.width_possible(n.slot_bits) and _positive(plan.scale) and _positive(plan.clip_norm)):
        return True  # likewise
    return rules.one_fits(n.slot_bits, n.bound, n.variance) and rules.sum_fits(
        n.slot_bits,
        k_max=n.max_devices,
        variance=n.variance,
        steps_squared=(Fraction(plan.scale) * Fraction(plan.clip_norm)) ** 2,
        padded=_padded(plan),
        block=block_size(plan.dimension),
    )


def _positive(value: float) -> bool:
    return math.isfinite(value) and value >= sys.float_info.min
