import math
from dataclasses import replace

import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy import ClippedVector, clip, derive, discrete_gaussian, encode_vector, encode_zero, unrotate
from hushfleet.privacy.noise import add_noise
from hushfleet.privacy.rotation import rotate
from hushfleet.privacy.rounding import round_within
from hushfleet.randomness import SeededRandomness
from tests.support.refusals import refused
from tests.support.scripted import Constant

PLAN_HASH = bytes(range(32))
DEMO = {"dimension": 650, "clip_norm": 0.5, "k_min": 4, "k_max": 50, "colluding": 2}
PLAN = derive(**DEMO, noise_multiplier=4)
BARE = derive(**DEMO, noise_multiplier=0, without_privacy=True)


def update(seed, dimension=650):
    return clip(np.random.default_rng(seed).normal(size=dimension), 0.5)


def test_the_chain_is_its_stages_one_after_the_other():
    stream = SeededRandomness(b"chain")
    scaled = rotate(update(1).values / 0.5, PLAN_HASH) * (PLAN.scale * 0.5)
    rounded = round_within(scaled, bound=PLAN.bound, b2=PLAN.b2, randomness=stream)
    expected = add_noise(rounded, PLAN.variance, stream).values
    assert np.array_equal(encode_vector(update(1), PLAN, PLAN_HASH, SeededRandomness(b"chain")).values, expected)
    assert expected.shape == (704,)


def test_the_sum_of_a_cohort_is_the_sum_of_its_updates():
    updates = [update(seed) for seed in range(50)]
    total = sum(encode_vector(u, BARE, PLAN_HASH, SeededRandomness(b"%d" % i)).values for i, u in enumerate(updates))
    error = unrotate(total, PLAN_HASH, 650) / BARE.scale - sum(u.values for u in updates)
    assert np.linalg.norm(error) < 1.1 * math.sqrt(50 * 704 / 4) / BARE.scale


def test_the_noise_of_a_sum_is_what_the_plan_promises():
    total = sum(encode_zero(650, PLAN, PLAN_HASH, SeededRandomness(b"%d" % i)).values for i in range(50))
    assert np.linalg.norm(total) == pytest.approx(math.sqrt(50 * 704 * PLAN.variance), rel=0.08)


def sparse(dimension, where):
    values = np.zeros(dimension)
    values[where] = 0.5
    return clip(values, 0.5)


@pytest.mark.parametrize("dimension", [1, 64, 650, 100_000])
def test_an_update_in_one_coordinate_keeps_its_norm(dimension):
    """The clamp leaves room for a whole update in one block."""
    plan = derive(**(DEMO | {"dimension": dimension}), noise_multiplier=0, without_privacy=True)
    encoded = encode_vector(sparse(dimension, dimension // 2), plan, PLAN_HASH, SeededRandomness(b"sparse"))
    back = unrotate(encoded.values, PLAN_HASH, dimension) / plan.scale
    assert back[dimension // 2] == pytest.approx(0.5, rel=0.05)
    assert np.abs(encoded.values).max() < plan.bound


@pytest.mark.parametrize(("dimension", "trials"), [(1, 3_000), (64, 3_000), (650, 3_000), (100_000, 100)])
def test_a_clipped_vector_passes_the_one_attempt_with_the_promised_probability(dimension, trials):
    """At most 2^-10 of 3,000 fail, about 3: eleven or more would have a chance below 1e-3, were the bound tight. It is not."""
    plan = derive(**(DEMO | {"dimension": dimension}), noise_multiplier=0, without_privacy=True)
    failed = 0
    for seed in range(trials):
        failed += not encode_vector(update(seed, dimension), plan, PLAN_HASH, SeededRandomness(b"%d" % seed)).values.any()
    assert failed <= 10


def test_the_vector_that_rounding_lengthens_most_passes_too():
    """Each coordinate half way between two integers: the greatest variance that rounding has, at a norm of C."""
    plan = derive(**DEMO, noise_multiplier=0, without_privacy=True)
    scaled = np.full(704, 3.5)
    assert np.linalg.norm(scaled) == pytest.approx(plan.scale * 0.5, rel=1e-12)
    passed = sum(
        round_within(scaled, bound=plan.bound, b2=plan.b2, randomness=SeededRandomness(b"half %d" % seed)).any() for seed in range(20_000)
    )
    assert passed >= 20_000 * (1 - 2**-10) - 3 * math.sqrt(20_000 * 2**-10)


@pytest.mark.parametrize("keep", [2, 4])
def test_a_kept_part_alone_is_sent_and_its_mean_over_the_choices_is_the_update(keep):
    bare = derive(**DEMO, noise_multiplier=0, keep_one_in=keep, without_privacy=True)
    total, one = np.zeros(650), update(1)
    for seed in range(400):
        plan_hash = SeededRandomness(b"keep %d" % seed).octets(32)
        encoded = encode_vector(one, bare, plan_hash, SeededRandomness(b"%d" % seed))
        assert encoded.values.shape == (704 // keep,)
        total += unrotate(encoded.values, plan_hash, 650, keep_one_in=keep) / bare.scale
    # each try misses by about |update| sqrt(keep - 1) in a random direction, and by the rounding
    assert np.linalg.norm(total / 400 - one.values) < 1.3 * 0.5 * math.sqrt(keep - 1 + keep * 0.02) / math.sqrt(400)


def test_a_plan_with_too_small_a_bound_yields_noise_alone():
    tight = replace(PLAN, b2=10)
    stream = SeededRandomness(b"tight")
    encoded = encode_vector(update(1), tight, PLAN_HASH, stream)
    assert np.abs(encoded.values).max() <= discrete_gaussian(PLAN.variance).half_width
    nothing = encode_vector(update(1), replace(BARE, b2=10), PLAN_HASH, SeededRandomness(b"tight"))
    assert not nothing.values.any()


def test_zero_reads_and_looks_like_any_other_contribution():
    lengths = []

    class Recording(SeededRandomness):
        def octets(self, count):
            lengths.append(count)
            return super().octets(count)

    encoded = encode_zero(650, PLAN, PLAN_HASH, Recording(b"zero"))
    same = encode_vector(ClippedVector.zero(650, 0.5), PLAN, PLAN_HASH, SeededRandomness(b"zero"))
    assert np.array_equal(encoded.values, same.values)
    assert lengths[0] == 2 * 704, "rounding draws its bits for zeros too"
    assert np.count_nonzero(encoded.values) > 650


@pytest.mark.parametrize(("scale", "clip_norm"), [(1e300, 1e300), (1e-300, 1e-300), (1e308, 5e-324), (5e-324, 1e308)])
def test_ill_matched_plans_never_fail_on_the_update(scale, clip_norm):
    """Whether a device answers must not depend on its data."""
    plan = replace(PLAN, scale=scale, clip_norm=clip_norm)
    for values in ([0.0] * 650, [clip_norm / 2] + [0.0] * 649):
        encoded = encode_vector(ClippedVector(np.array(values), clip_norm), plan, PLAN_HASH, Constant(255))
        assert encoded.values.shape == (704,)


def test_an_update_made_for_another_plan_is_refused():
    with refused(Refusal.PLAN_DIMENSION, LocalError):
        encode_vector(update(1, 641 - 64), PLAN, PLAN_HASH, Constant(0))
    with refused(Refusal.PLAN_CLIP_NORM, LocalError):
        encode_vector(ClippedVector.zero(650, 0.25), PLAN, PLAN_HASH, Constant(0))
    with refused(Refusal.PLAN_HASH, LocalError):
        encode_zero(650, PLAN, b"", Constant(0))
