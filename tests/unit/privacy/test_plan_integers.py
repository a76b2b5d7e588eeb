from dataclasses import replace
from fractions import Fraction

import mpmath
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy import integer_rules as rules
from hushfleet.privacy.blocks import block_size, padded_dimension
from hushfleet.privacy.plan_integers import derive, sensitivity_matches
from hushfleet.privacy.scale_search import Candidates
from tests.support.refusals import refused

DEMO = {"dimension": 650, "clip_norm": 1.0, "noise_multiplier": 4.0, "k_min": 40, "k_max": 50, "colluding": 2}


def delta_squared(t, padded, beta):
    """Delta2^2 as PROTOCOL 6 writes it, in 60 digits."""
    root = mpmath.sqrt(padded)
    mostly = t**2 + mpmath.mpf(padded) / 4 + mpmath.sqrt(2 * mpmath.log(1 / beta)) * (t + root / 2)
    return min((t + root) ** 2, mostly)


def test_the_demos_plan():
    plan = derive(**DEMO)
    assert (plan.b2, plan.variance, plan.bound, plan.padded) == (9_195, 3_872, 71, 704)
    assert (plan.k_min, plan.k_max, plan.clip_norm, plan.slot_bits, plan.keep_one_in) == (40, 50, 1.0, 14, 1)
    assert plan.scale == pytest.approx(3.5 * 704**0.5, rel=1e-15)


@pytest.mark.parametrize("dimension", [1, 64, 650, 5_000, 100_000, 1_000_000, 5_000_000])
@pytest.mark.parametrize(("z", "k_max"), [(1, 12), (4, 50), (8, 20)])
def test_the_integers_are_the_formulas_evaluated_with_60_digits(dimension, z, k_max):
    plan = derive(dimension=dimension, clip_norm=0.25, noise_multiplier=z, k_min=10, k_max=k_max, colluding=2)
    padded, block = padded_dimension(dimension), block_size(dimension)
    with mpmath.workdps(60):
        steps = round(plan.scale * 0.25 / padded**0.5 * 1_024)
        t = mpmath.mpf(steps) / 1_024 * mpmath.sqrt(padded)
        assert plan.b2 == int(mpmath.floor(delta_squared(t, padded, mpmath.mpf(2) ** -10)))
        assert plan.bound == 1 + int(mpmath.ceil(6 * t / mpmath.sqrt(block)))
    assert plan.variance == max(16, -(-(z**2) * plan.b2 // 8))
    assert 1_024 <= steps <= 3_584


@pytest.mark.parametrize("z", [85, 100, 140])
def test_a_crowded_slot_gets_the_greatest_scale_that_fits(z):
    settings = {"dimension": 1_000_000, "clip_norm": 1.0, "noise_multiplier": z, "k_min": 80, "colluding": 2}
    plan = derive(**settings, k_max=100)
    candidates = Candidates(plan.padded, block_size(1_000_000), Fraction(z * z), 78, 80, 100)
    steps = round(plan.scale / plan.padded**0.5 * 1_024)
    assert (candidates.fits(steps, 100), candidates.fits(steps + 1, 100)) == (True, False)
    assert (candidates.b2(steps), candidates.bound(steps), candidates.variance(steps)) == (plan.b2, plan.bound, plan.variance)


def test_the_noise_multiplier_is_taken_exactly():
    exact = derive(**(DEMO | {"noise_multiplier": Fraction(1, 10)}))
    assert derive(**(DEMO | {"noise_multiplier": "0.1"})) == exact
    assert derive(**(DEMO | {"noise_multiplier": "1/10"})) == exact
    pair = DEMO | {"k_min": 4, "k_max": 4}
    barely_more = derive(**(pair | {"noise_multiplier": 2 + Fraction(1, 10**30)}))
    assert derive(**(pair | {"noise_multiplier": 2.0})).variance == 2 * 9_195 == barely_more.variance - 1


def test_little_noise_is_raised_to_the_least_variance():
    assert derive(**(DEMO | {"noise_multiplier": "0.001"})).variance == 16


def test_no_privacy_means_no_noise_and_says_so():
    plan = derive(**(DEMO | {"noise_multiplier": 0}), without_privacy=True)
    assert (plan.variance, plan.b2, plan.bound) == (0, 9_195, 71)


@pytest.mark.parametrize(("z", "without_privacy"), [(0, False), ("0.0", False), (4, True), ("1/1000000", True)])
def test_no_noise_and_the_permission_for_it_belong_together(z, without_privacy):
    with refused(Refusal.PLAN_WITHOUT_PRIVACY, LocalError):
        derive(**(DEMO | {"noise_multiplier": z}), without_privacy=without_privacy)


@pytest.mark.parametrize("z", [-1, "-0.1", float("nan"), float("inf"), "much", "1/0", ""])
def test_a_noise_multiplier_is_a_number_from_0(z):
    with refused(Refusal.PLAN_NOISE, LocalError):
        derive(**(DEMO | {"noise_multiplier": z}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dimension": 0}, Refusal.PLAN_DIMENSION),
        ({"clip_norm": 0.0}, Refusal.PLAN_CLIP_NORM),
        ({"clip_norm": float("nan")}, Refusal.PLAN_CLIP_NORM),
        ({"clip_norm": 1e-320}, Refusal.PLAN_SCALE),
        ({"k_min": 51}, Refusal.PLAN_COHORT_ORDER),
        ({"k_min": 1, "colluding": 0}, Refusal.PLAN_COHORT_ORDER),
        ({"k_max": 2_801}, Refusal.PLAN_COHORT_CEILING),
        ({"colluding": 39}, Refusal.PLAN_HONEST_CONTRIBUTORS),
        ({"colluding": -1}, Refusal.PLAN_HONEST_CONTRIBUTORS),
    ],
)
def test_settings_that_no_plan_can_have(change, reason):
    with refused(reason, LocalError):
        derive(**(DEMO | change))


def told(**settings: object):
    with pytest.raises(LocalError) as raised:
        derive(**settings)
    with refused(Refusal.PLAN_UNREACHABLE, LocalError):
        raise raised.value
    return raised.value.next_step


def number_after(words, text):
    return text.split(words, 1)[1].split()[0].strip(",.")


def test_out_of_reach_names_settings_that_would_do():
    settings = DEMO | {"noise_multiplier": 20_000, "dimension": 10_000}
    advice = told(**settings)
    assert "max_devices" not in advice, "no cohort from k_min up would fit"
    assert "min_devices" in advice
    derive(**(settings | {"noise_multiplier": number_after("lower noise_multiplier to ", advice)}))


def test_out_of_reach_for_a_large_cohort_names_the_largest_that_fits():
    settings = DEMO | {"noise_multiplier": 400, "dimension": 100_000, "k_min": 40, "k_max": 2_800}
    cohort = int(number_after("lower max_devices to ", told(**settings)))
    derive(**(settings | {"k_max": cohort}))
    told(**(settings | {"k_max": cohort + 1}))


def test_the_largest_model_and_cohort_are_within_reach_with_little_noise():
    """So there is always a noise multiplier to name."""
    settings = DEMO | {"dimension": 1 << 26, "k_min": 2, "k_max": 2_800, "colluding": 0}
    assert derive(**(settings | {"noise_multiplier": "0.01"})).slot_bits <= 24
    derive(**(settings | {"noise_multiplier": 0}), without_privacy=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"b2": 0}, Refusal.PLAN_SENSITIVITY),
        ({"variance": 15}, Refusal.PLAN_VARIANCE),
        ({"variance": -1}, Refusal.PLAN_VARIANCE),
        ({"k_min": 60}, Refusal.PLAN_COHORT_ORDER),
        ({"k_min": 1}, Refusal.PLAN_COHORT_ORDER),
        ({"k_max": 2_801}, Refusal.PLAN_COHORT_CEILING),
        ({"bound": 0}, Refusal.PLAN_SLOTS),
        ({"bound": 1 << 18, "slot_bits": 24}, Refusal.PLAN_SLOTS),
        ({"bound": 8_191}, Refusal.PLAN_SLOTS),
        ({"slot_bits": 7}, Refusal.PLAN_SLOTS),
        ({"slot_bits": 25}, Refusal.PLAN_SLOTS),
        ({"keep_one_in": 3}, Refusal.PLAN_KEEP),
        ({"variance": 10**6}, Refusal.PLAN_SLOTS),
        ({"variance": (1 << 30) + 1, "slot_bits": 24}, Refusal.PLAN_VARIANCE),
        ({"clip_norm": 0.0}, Refusal.PLAN_CLIP_NORM),
        ({"scale": float("inf")}, Refusal.PLAN_SCALE),
        ({"scale": -1.0}, Refusal.PLAN_SCALE),
        ({"padded": 703}, Refusal.PLAN_DIMENSION),
        ({"padded": 0}, Refusal.PLAN_DIMENSION),
    ],
)
def test_plan_integers_that_could_not_have_been_derived_do_not_exist(change, reason):
    with refused(reason, LocalError):
        replace(derive(**DEMO), **change)


@pytest.mark.parametrize("settings", [DEMO, DEMO | {"dimension": 100_000, "k_min": 10, "k_max": 12}, DEMO | {"k_max": 2_800}])
def test_the_slot_is_the_narrowest_that_the_rules_allow_with_the_scale_as_sent(settings):
    plan = derive(**settings)
    steps2, block = (Fraction(plan.scale) * Fraction(plan.clip_norm)) ** 2, block_size(settings["dimension"])

    def fits(bits):
        return rules.one_fits(bits, plan.bound, plan.variance) and rules.sum_fits(
            bits, k_max=plan.k_max, variance=plan.variance, steps_squared=steps2, padded=plan.padded, block=block
        )

    assert (fits(plan.slot_bits), fits(plan.slot_bits - 1)) == (True, False)


@pytest.mark.parametrize("dimension", [1, 64, 650, 100_000, 1 << 26])
@pytest.mark.parametrize("clip_norm", [1e-6, 1.0, 3e5])
def test_b2_must_follow_from_scale_and_clip_norm(dimension, clip_norm):
    plan = derive(dimension=dimension, clip_norm=clip_norm, noise_multiplier=1, k_min=10, k_max=12, colluding=2)
    asked = {"scale": plan.scale, "clip_norm": clip_norm, "padded": plan.padded}
    for b2, holds in ((plan.b2, True), (int(0.9985 * plan.b2) - 1, False), (int(1.0015 * plan.b2) + 4, False), (1, False)):
        assert sensitivity_matches(b2, **asked) is holds
    assert not sensitivity_matches(plan.b2, **(asked | {"scale": 1.01 * plan.scale}))
    for scale in (float("inf"), float("nan"), 0.0, -plan.scale, 1e300):
        assert not sensitivity_matches(plan.b2, **(asked | {"scale": scale}))


def test_keeping_fewer_coordinates_changes_nothing_else():
    assert derive(**DEMO, keep_one_in=4) == replace(derive(**DEMO), keep_one_in=4)
    with refused(Refusal.PLAN_KEEP, LocalError):
        derive(**DEMO, keep_one_in=8)
