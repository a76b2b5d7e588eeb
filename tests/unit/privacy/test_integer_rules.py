from fractions import Fraction
from math import isqrt

import mpmath
import pytest

from hushfleet.privacy import integer_rules as rules


def test_slots_have_8_to_24_balanced_bits():
    assert [rules.width_possible(bits) for bits in (7, 8, 24, 25)] == [False, True, True, False]
    assert (rules.slot_limit(8), rules.slot_limit(20), rules.LARGEST_SUM) == (127, 524_287, (1 << 23) - 1)


def test_the_squares_of_the_longest_vector_within_the_largest_clamp_do_not_overflow():
    assert rules.LARGEST_BOUND**2 * (1 << 26) < 2**63


@pytest.mark.parametrize(("k_min", "colluding", "honest", "holds"), [(4, 2, 2, True), (3, 2, 1, False), (2, 0, 2, True), (1, 5, -4, False)])
def test_two_contributors_must_be_honest(k_min, colluding, honest, holds):
    assert rules.honest_contributors(k_min, colluding) == honest
    assert rules.enough_honest_contributors(k_min, colluding) is holds


def test_variance_and_sensitivity_have_a_floor():
    assert (rules.enough_variance(16), rules.enough_variance(15)) == (True, False)
    assert (rules.positive_sensitivity(1), rules.positive_sensitivity(0)) == (True, False)


def test_noise_is_compared_with_the_policy_in_whole_numbers():
    assert rules.enough_noise(3, 100, 3, 1, 100)
    assert not rules.enough_noise(3, 100, 3, 1, 101)
    assert rules.enough_noise(2, 16, 1, 3, 96)
    assert not rules.enough_noise(2, 16, 1, 3, 97)
    vast = 10**40
    assert rules.enough_noise(2, vast, 2, 1, vast)
    assert not rules.enough_noise(2, vast, 2, 1, vast + 1)


@pytest.mark.parametrize("bits", [8, 14, 24])
@pytest.mark.parametrize("variance", [0, 16, 100])
def test_the_greatest_value_of_one_device_just_fits(bits, variance):
    most = min(rules.slot_limit(bits) - (isqrt(14_884 * variance // 100) + 1), rules.LARGEST_BOUND)
    assert (rules.one_fits(bits, most, variance), rules.one_fits(bits, most + 1, variance)) == (most >= 0, False)


@pytest.mark.parametrize(("k_max", "steps", "padded", "block"), [(2, 8, 64, 64), (50, 93, 704, 64), (2_800, 1_120, 102_400, 4_096)])
def test_the_slot_rule_is_the_protocols_evaluated_with_60_digits(k_max, steps, padded, block):
    """The greatest V that fits is the one that the formula gives."""
    with mpmath.workdps(60):
        g2 = mpmath.ceil(2 * mpmath.log(mpmath.mpf(2) ** 41 * padded))
        limit = mpmath.mpf(2) ** 23 - 1
        most = int(mpmath.floor((limit**2 * block / g2 - k_max**2 * steps**2) / (k_max * block) - 1))
    rule = {"k_max": k_max, "steps_squared": Fraction(steps**2), "padded": padded, "block": block}
    assert rules.sum_fits(24, variance=most, **rule)
    assert not rules.sum_fits(24, variance=most + 1, **rule)


def test_the_scale_enters_the_slot_rule_exactly():
    rule = {"k_max": 10, "variance": 0, "padded": 64, "block": 64}
    g2 = 66
    edge = (Fraction(127**2 * 64, g2) - 10 * 64) / 100
    assert rules.sum_fits(8, steps_squared=edge, **rule)
    assert not rules.sum_fits(8, steps_squared=edge + Fraction(1, 10**30), **rule)
