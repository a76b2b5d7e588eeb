import functools
import math
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy import (
    ClippedVector,
    Ledger,
    PlanIntegers,
    clip,
    derive,
    encode_vector,
    rotate,
    round_within,
    sensitivity_matches,
    unrotate,
)
from hushfleet.privacy import integer_rules as rules
from hushfleet.privacy.blocks import MAX_DIMENSION, block_size
from hushfleet.privacy.gaussian_table import MAX_VARIANCE, half_width
from hushfleet.randomness import SeededRandomness
from tests.support.scripted import Constant


def outcome(action):
    """What `action` returns, or why it refuses."""
    try:
        return action()
    except LocalError as error:
        return error.reason


any_float = st.floats(allow_nan=True, allow_infinity=True)
vectors = stnp.arrays(np.float64, st.integers(1, 200), elements=any_float)
sources = st.one_of(st.sampled_from([0, 255, 0x7F]).map(Constant), st.binary(max_size=4).map(SeededRandomness))
plan_hashes = st.binary(min_size=32, max_size=32)


@given(vectors, st.integers(1, rules.LARGEST_BOUND), st.integers(1, 1 << 45), sources)
def test_the_integer_norm_bound_is_never_broken(scaled, bound, b2, randomness):
    rounded = outcome(lambda: round_within(scaled, bound=bound, b2=b2, randomness=randomness))
    assert (rounded is Refusal.UPDATE_NOT_FINITE) is not np.isfinite(scaled).all()
    if rounded is Refusal.UPDATE_NOT_FINITE:
        return
    assert sum(value * value for value in rounded.tolist()) <= b2
    assert all(abs(value) <= bound for value in rounded.tolist())


@given(vectors, st.floats(1e-300, exclude_min=True, allow_infinity=False))
def test_whatever_is_clipped_obeys_the_clip_norm(update, clip_norm):
    clipped = outcome(lambda: clip(update, clip_norm))
    assert (clipped is Refusal.UPDATE_NOT_FINITE) is not np.isfinite(update).all()
    if clipped is Refusal.UPDATE_NOT_FINITE:
        return
    norm2 = sum(Fraction(value) ** 2 for value in clipped.values.tolist())
    assert norm2 <= Fraction(clip_norm) ** 2


@st.composite
def requests(draw):
    honest, colluding = draw(st.integers(1, 300)), draw(st.integers(0, 300))
    return {
        "dimension": draw(st.one_of(st.integers(1, 5_000), st.integers(1, MAX_DIMENSION))),
        "clip_norm": draw(st.floats(1e-6, 1e6)),
        "noise_multiplier": draw(st.one_of(st.fractions(0, 100, max_denominator=1_000), st.floats(0, 5))),
        "k_min": honest + colluding,
        "colluding": colluding,
        "k_max": honest + colluding + draw(st.one_of(st.integers(-1, 30), st.integers(0, 2_500))),
    }


@settings(max_examples=400)
@given(requests())
def test_the_plan_function_gives_a_plan_that_decodes_or_refuses(request):
    plan = outcome(lambda: derive(**request, without_privacy=request["noise_multiplier"] == 0))
    sensible = 2 <= request["k_min"] <= request["k_max"] <= 2_800 and request["k_min"] - request["colluding"] >= 2
    assert isinstance(plan, PlanIntegers) <= sensible
    if not isinstance(plan, PlanIntegers):
        assert (plan is Refusal.PLAN_UNREACHABLE) is sensible
        return
    honest, z = request["k_min"] - request["colluding"], Fraction(request["noise_multiplier"])
    private = z > 0
    assert rules.enough_honest_contributors(plan.k_min, request["colluding"])
    assert rules.positive_sensitivity(plan.b2)
    assert (plan.variance > 0) is private
    assert not private or rules.enough_variance(plan.variance)
    assert rules.enough_noise(honest, plan.variance, (z * z).numerator, (z * z).denominator, plan.b2)
    assert rules.sum_fits(
        plan.slot_bits,
        k_max=plan.k_max,
        variance=plan.variance,
        steps_squared=(Fraction(plan.scale) * Fraction(plan.clip_norm)) ** 2,
        padded=plan.padded,
        block=block_size(request["dimension"]),
    )
    assert sensitivity_matches(plan.b2, scale=plan.scale, clip_norm=plan.clip_norm, padded=plan.padded)
    assert_extremes_decode(plan)


def assert_extremes_decode(plan: PlanIntegers) -> None:
    """Eight standard deviations of the noise of the sum, and the greatest value of one device alone."""
    noise = math.isqrt(64 * plan.k_max * plan.variance)
    for extreme in (noise, -noise):
        slot = extreme % (1 << plan.slot_bits)
        half = 1 << (plan.slot_bits - 1)
        assert (slot + half) % (1 << plan.slot_bits) - half == extreme
    assert plan.bound <= rules.LARGEST_BOUND
    assert plan.variance <= MAX_VARIANCE
    assert plan.bound + half_width(plan.variance) <= rules.slot_limit(plan.slot_bits)


@given(
    stnp.arrays(np.float64, st.integers(1, 130), elements=st.floats(allow_nan=False, allow_infinity=False)),
    st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    plan_hashes,
    sources,
)
def test_no_update_makes_a_device_fall_silent(update, clip_norm, scale, plan_hash, randomness):
    sane = derive(dimension=update.size, clip_norm=1.0, noise_multiplier=1, k_min=4, k_max=9, colluding=2)
    plan = PlanIntegers(sane.b2, sane.variance, sane.bound, sane.k_min, sane.k_max, scale, clip_norm, sane.padded, sane.slot_bits, 1)
    clipped = outcome(lambda: clip(update, clip_norm))
    if not isinstance(clipped, ClippedVector):
        assert clipped is Refusal.UPDATE_NORM
        assert clip_norm < 1e-300
        clipped = ClippedVector.zero(update.size, clip_norm)
    encoded = encode_vector(clipped, plan, plan_hash, randomness)
    assert np.abs(encoded.values).max() <= plan.bound + half_width(plan.variance)


@given(st.integers(1, 300), plan_hashes, st.data())
def test_unrotating_a_rotation_of_integers_gives_them_back(dimension, plan_hash, data):
    update = data.draw(stnp.arrays(np.float64, dimension, elements=st.integers(-1_000, 1_000).map(float)))
    rotated = rotate(update, plan_hash)
    eighths = np.rint(rotated * 8).astype(np.int64)
    assert np.array_equal(eighths / 8, rotated), "blocks of 64 scale by one eighth exactly"
    assert np.array_equal(unrotate(eighths, plan_hash, dimension) / 8, update)


charges = st.tuples(st.sampled_from([bytes(32), bytes([7]) * 32]), st.integers(0, 5), st.integers(1, 10**6))


@given(st.lists(charges, max_size=30), st.integers(0, 10**9))
def test_whatever_is_charged_in_whatever_order_the_budget_holds(attempts, budget):
    ledger = Ledger()
    for key_id, round_number, b2 in attempts:
        charge = functools.partial(ledger.charge, key_id, round_number, b2=b2, honest=2, variance=10**6, budget_nano=budget)
        after, held = outcome(charge), ledger.find(key_id, round_number)
        if isinstance(after, Ledger):
            assert after.events[: len(ledger.events)] == ledger.events
            ledger = after
        else:
            assert after is (Refusal.BUDGET_EXHAUSTED if held is None else Refusal.PLAN_ROUND_REPEATED)
    assert ledger.spent_nano == sum(event.rho_nano for event in ledger.events) <= budget
    assert len({(event.key_id, event.round_number) for event in ledger.events}) == len(ledger.events)
