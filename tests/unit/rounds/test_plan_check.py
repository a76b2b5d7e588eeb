import math
import sys
from dataclasses import replace
from fractions import Fraction

import msgspec
import pytest

from hushfleet.documents import EvaluateTask, MeasureTask, NamedHash, task_name
from hushfleet.errors import FaultyOrchestrator, PeerError, Refusal
from hushfleet.privacy import derive, rho_nano
from hushfleet.rounds.plan_check import MAX_DEADLINE_S, Standing, check_plan, honest, nano_rho, standing
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.schemes.members import MEMBER_SCHEMES
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.schemes.paillier.profile import PROFILE
from tests.support.fleet import ARCHITECTURE, allowing, make_fleet, without_privacy
from tests.support.refusals import refused

FLEET = make_fleet(
    policy={
        "models": (*allowing(ARCHITECTURE), NamedHash("tiny too", bytes(32))),
        "questions": (NamedHash("ages", bytes(32)),),
        "min_noise_numerator": 9,
        "min_noise_denominator": 4,
        "max_devices": 10,
        "max_values": 1000,
        "max_local_steps": 7,
        "max_batch_size": 8,
        "max_learning_rate": 0.75,
        "max_proximal": 0.5,
        "schemes": ("paillier", "masked"),
    },
)
OPEN = without_privacy(FLEET)
SMALLEST, LARGEST = sys.float_info.min, sys.float_info.max
NAN, INF = math.nan, math.inf
BELOW = math.nextafter
ASKED = (("ages", bytes(32)), ("ages", b"\1" * 32), ("ids", bytes(32)))
NOTHING = {"variance": 0}

# With d' = b = 64, s C = 28 and k_max = 5: B2 = 919, x = 919.1; with h = 2 the noise rule is 2 V * 4 >= 9 B2; w = 12, g^2 = 66 and
# the slot rule 2047^2 * 64 >= 66 (5 (V + 1) * 64 + 25 * 784); one value fits if B + 1047 <= 2047 for V = 7352.
LARGER = derive(dimension=1000, clip_norm=1.0, noise_multiplier=4, k_min=4, k_max=5, colluding=2)
OF_1000 = {"dimension": 1000} | {name: getattr(LARGER, name) for name in ("b2", "variance", "bound", "scale", "slot_bits")}
INSIDE = [
    *({"dimension": d} for d in (1, 64)),
    OF_1000,
    {"model": "tiny too", "architecture_hash": bytes(32)},
    {"min_devices": 5},
    {"max_devices": 4},
    {"max_devices": 10, "slot_bits": 13},
    {"variance": 1034},
    {"variance": 1035, "b2": 920},
    *({"b2": b2} for b2 in (919, 922)),
    *({"bound": bound} for bound in (1, 1000)),
    {"variance": 12_635, "bound": 1},
    *({"slot_bits": bits} for bits in (12, 24)),
    *({"keep_one_in": number} for number in (1, 2, 4)),
    *({"clip_norm": 2.0**power, "scale": 28 * 2.0**-power} for power in (-1000, 1000)),
    *({"local_steps": value} for value in (1, 7)),
    *({"batch_size": value} for value in (1, 8)),
    *({"learning_rate": value} for value in (SMALLEST, 0.75)),
    *({"proximal": value} for value in (0.0, 0.5)),
    *({"selection": value} for value in (0, 65_536)),
    *({"deadline_s": value, "sending_slot_s": slot} for value, slot in ((1, 1), (64, 1), (64, 64), (MAX_DEADLINE_S, MAX_DEADLINE_S // 64))),
]
OUTSIDE = [
    (Refusal.PLAN_FLEET, {"fleet": "others"}),
    (Refusal.PLAN_KEY, {"key_id": bytes(32)}),
    (Refusal.PLAN_ARCHITECTURE, {"architecture_hash": bytes([1]) * 32}),
    (Refusal.PLAN_ARCHITECTURE, {"model": "tiny too"}),
    (Refusal.PLAN_ARCHITECTURE, {"model": "Tiny"}),
    (Refusal.PLAN_NORMALISER, {"normaliser_hash": bytes(32)}),
    (Refusal.PLAN_TASK, {"task": EvaluateTask("tiny", ARCHITECTURE.digest, 0, bytes(32), b"")}),
    *((Refusal.PLAN_TASK, {"task": MeasureTask(*question)}) for question in ASKED),
    *((Refusal.PLAN_SLOTS, {"slot_bits": bits}) for bits in (0, 7, 11, 25, 2**62)),
    *((Refusal.PLAN_KEEP, {"keep_one_in": number}) for number in (0, 3, 8, 2**62)),
    *((Refusal.PLAN_DIMENSION, {"dimension": d}) for d in (-1, 0, 1001)),
    *((Refusal.PLAN_SCHEME, {"scheme": name}) for name in ("shared", "masked", "", "Paillier")),
    *((Refusal.PLAN_COHORT_FLOOR, {"min_devices": k}) for k in (0, 3)),
    *((Refusal.PLAN_COHORT_ORDER, {"min_devices": k, "max_devices": 5}) for k in (6, 2**62)),
    *((Refusal.PLAN_COHORT_CEILING, {"max_devices": k}) for k in (11, 2801)),
    (Refusal.PLAN_WITHOUT_PRIVACY, {"variance": 0}),
    *((Refusal.PLAN_VARIANCE, {"variance": v, "b2": 1}) for v in (1, 15)),
    (Refusal.PLAN_SENSITIVITY, {"b2": 0}),
    (Refusal.PLAN_SENSITIVITY, {"bound": 0}),
    *((Refusal.PLAN_VARIANCE, {"variance": v}) for v in ((1 << 30) + 1, 2**62)),
    (Refusal.PLAN_NOISE, {"variance": 1033}),
    (Refusal.PLAN_NOISE, {"variance": 1035, "b2": 921}),
    *((Refusal.PLAN_SENSITIVITY, {"b2": b2}) for b2 in (1, 918, 923)),
    *((Refusal.PLAN_SENSITIVITY, {"scale": scale}) for scale in (28.1, 27.9, SMALLEST, LARGEST)),
    *((Refusal.PLAN_SENSITIVITY, {"clip_norm": norm}) for norm in (1.01, 0.99, SMALLEST, LARGEST)),
    (Refusal.PLAN_SENSITIVITY, {"dimension": 65}),
    (Refusal.PLAN_SLOTS, {"variance": 12_636, "bound": 1}),
    *((Refusal.PLAN_SLOTS, {"bound": bound}) for bound in (1001, 2**62)),
    (Refusal.PLAN_SLOTS, {"bound": 1 << 18, "slot_bits": 24}),
    (Refusal.PLAN_SLOTS, {"max_devices": 10}),
    *((Refusal.PLAN_CLIP_NORM, {"clip_norm": value}) for value in (0.0, -1.0, BELOW(SMALLEST, 0), NAN, INF)),
    *((Refusal.PLAN_SCALE, {"scale": value}) for value in (0.0, -1.0, BELOW(SMALLEST, 0), NAN, INF)),
    *((Refusal.PLAN_STEPS, {"local_steps": value}) for value in (8, 2**62)),
    *((Refusal.PLAN_BATCH_SIZE, {"batch_size": value}) for value in (9, 2**62)),
    *((Refusal.PLAN_LEARNING_RATE, {"learning_rate": value}) for value in (BELOW(0.75, 1), LARGEST)),
    *((Refusal.PLAN_PROXIMAL, {"proximal": value}) for value in (BELOW(0.5, 1), LARGEST)),
    *((Refusal.PLAN_SELECTION, {"selection": value}) for value in (-1, 65_537)),
    *(
        (Refusal.PLAN_SENDING_SLOT, {"deadline_s": value, "sending_slot_s": slot})
        for value, slot in ((64, 0), (64, 65), (65, 1), (600, -1), (MAX_DEADLINE_S, MAX_DEADLINE_S // 64 - 1))
    ),
    *((Refusal.PLAN_DEADLINE, {"deadline_s": value}) for value in (0, -1, MAX_DEADLINE_S + 1)),
]


def test_the_plan_that_a_job_gives_passes():
    check_plan(FLEET.plan(), FLEET.roster, DEVICE_SCHEMES)
    check_plan(OPEN.plan(), OPEN.roster, DEVICE_SCHEMES)


@pytest.mark.parametrize("fields", INSIDE, ids=str)
def test_a_value_just_inside_passes(fields):
    check_plan(FLEET.plan(**fields), FLEET.roster, DEVICE_SCHEMES)


@pytest.mark.parametrize(("reason", "fields"), OUTSIDE, ids=str)
def test_a_value_just_outside_is_refused(reason, fields):
    with refused(reason, FaultyOrchestrator):
        check_plan(FLEET.plan(**fields), FLEET.roster, DEVICE_SCHEMES)


def test_a_task_that_the_owner_allows_and_this_version_lacks_is_refused_by_name():
    for task in (MeasureTask("ages", bytes(32)), EvaluateTask("tiny", ARCHITECTURE.digest, 0, bytes(32), b"")):
        with pytest.raises(FaultyOrchestrator, match=f"this version knows no task '{task_name(task)}'"):
            check_plan(FLEET.plan(task=task), FLEET.roster, DEVICE_SCHEMES)


def test_a_training_that_the_owner_did_not_allow_is_refused():
    idle = make_fleet(policy={"tasks": ("evaluate",)})
    with refused(Refusal.PLAN_TASK, FaultyOrchestrator):
        check_plan(idle.plan(), idle.roster, DEVICE_SCHEMES)


def test_fewer_than_two_honest_contributors_are_refused_even_under_a_policy_that_no_owner_can_sign():
    policy = msgspec.structs.replace(FLEET.policy)
    msgspec.structs.force_setattr(policy, "min_devices", 1)
    roster = FLEET.roster.roster.__copy__()
    msgspec.structs.force_setattr(roster, "policy", policy)
    lax = replace(FLEET.roster, roster=roster)

    check_plan(FLEET.plan(min_devices=4), lax, DEVICE_SCHEMES)
    with refused(Refusal.PLAN_HONEST_CONTRIBUTORS, FaultyOrchestrator):
        check_plan(FLEET.plan(min_devices=3), lax, DEVICE_SCHEMES)


@pytest.mark.parametrize("fields", [{"bound": 0}, {"b2": 0}, {"bound": 255}])
def test_a_plan_without_privacy_is_excused_from_noise_alone(fields):
    check_plan(OPEN.plan(bound=254), OPEN.roster, DEVICE_SCHEMES)
    with refused(Refusal.PLAN_SLOTS if fields.get("bound") else Refusal.PLAN_SENSITIVITY, FaultyOrchestrator):
        check_plan(OPEN.plan(**fields), OPEN.roster, DEVICE_SCHEMES)


def test_with_leave_to_add_no_noise_a_little_noise_is_still_refused():
    with refused(Refusal.PLAN_VARIANCE, FaultyOrchestrator):
        check_plan(OPEN.plan(variance=15), OPEN.roster, DEVICE_SCHEMES)


@pytest.mark.parametrize("field", ["round", "roster_serial", "model_version", "b2", "variance", "bound", "min_devices", "max_devices"])
def test_numbers_that_no_store_holds_do_not_become_a_plan(field):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        FLEET.plan(**{field: 2**63})


def test_every_role_knows_exactly_the_schemes_that_a_plan_may_name():
    assert set(DEVICE_SCHEMES) == set(MEMBER_SCHEMES) == set(ORCHESTRATOR_SCHEMES)
    for name, scheme in DEVICE_SCHEMES.items():
        assert scheme.profile.name == name
        assert MEMBER_SCHEMES[name].profile is ORCHESTRATOR_SCHEMES[name].profile is scheme.profile


def test_the_cost_of_a_plan_follows_from_its_integers_and_the_policys_c():
    plan = FLEET.plan().plan

    assert honest(plan, FLEET.roster) == plan.privacy.min_devices - 2
    assert nano_rho(plan, FLEET.roster) == rho_nano(plan.privacy.b2, 2, plan.privacy.variance)
    assert Fraction(nano_rho(plan, FLEET.roster), 10**9) >= Fraction(plan.privacy.b2, 2 * 2 * plan.privacy.variance)
    assert nano_rho(OPEN.plan().plan, OPEN.roster) == 0


def test_a_plan_stands_to_a_roster_by_hash_first_then_by_serial():
    newer, twin = FLEET.newer(), replace(FLEET, policy=msgspec.structs.replace(FLEET.policy, max_values=999))

    assert standing(FLEET.plan().plan, FLEET.roster) is Standing.SAME
    assert standing(newer.plan().plan, FLEET.roster) is Standing.WAIT
    assert standing(FLEET.plan().plan, newer.roster) is Standing.STAY_OUT
    assert standing(twin.plan().plan, FLEET.roster) is Standing.STAY_OUT
    assert standing(FLEET.plan(roster_serial=99).plan, FLEET.roster) is Standing.SAME


def test_a_model_whose_contribution_no_orchestrator_would_take_is_refused_by_device_and_member():
    """4,096 ciphertexts of the 512-bit key carry 29 values each in slots of 17 bits, 27 in slots of 18."""
    fleet = make_fleet(policy={"max_values": 1 << 20})

    for dimension, fits in ((98_304, True), (131_072, False)):
        n = derive(dimension=dimension, clip_norm=1.0, noise_multiplier=4, k_min=4, k_max=5, colluding=2)
        fields = {name: getattr(n, name) for name in ("b2", "variance", "bound", "scale", "slot_bits")}
        if fits:
            check_plan(fleet.plan(dimension=dimension, **fields), fleet.roster, DEVICE_SCHEMES)
            continue
        with refused(Refusal.PLAN_DIMENSION, FaultyOrchestrator):
            check_plan(fleet.plan(dimension=dimension, **fields), fleet.roster, DEVICE_SCHEMES)
        check_plan(fleet.plan(dimension=dimension, **fields, keep_one_in=2), fleet.roster, DEVICE_SCHEMES)


@pytest.mark.parametrize(("modulus_bytes", "most"), [(384, 4096 * 153), (512, 4096 * 204)])
def test_a_body_of_the_most_ciphertexts_is_within_the_limit_for_keys_of_3072_and_4096_bit(modulus_bytes: int, most: int):
    roster = replace(FLEET.roster, roster=msgspec.structs.replace(FLEET.roster.roster, paillier=bytes(modulus_bytes * 8)))
    block = 65_536
    fitting = most // block * block

    assert not PROFILE.misfit(FLEET.plan(dimension=fitting, slot_bits=20).plan, roster)
    assert PROFILE.misfit(FLEET.plan(dimension=fitting + block, slot_bits=20).plan, roster)
    assert not PROFILE.misfit(FLEET.plan(dimension=fitting + block, slot_bits=16).plan, roster)
    assert not PROFILE.misfit(FLEET.plan(dimension=fitting + block, slot_bits=20, keep_one_in=2).plan, roster)
