from math import isqrt

import pytest

from hushfleet.privacy import integer_rules as rules


def test_a_slot_is_one_of_20_balanced_bits():
    assert (rules.SLOT_BITS, rules.SLOT_LIMIT, rules.LARGEST_BOUND) == (20, 524_287, 262_143)


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


def test_a_slot_is_full_when_the_values_reach_its_limit():
    assert rules.slots_fit(7, 74_898, 0)
    assert not rules.slots_fit(7, 74_899, 0)
    assert not rules.slots_fit(2_800, 1_000, 0), "a negative room must not pass by being squared"


@pytest.mark.parametrize(("k_max", "bound"), [(2, 22), (50, 71), (2_800, 100)])
def test_a_slot_holds_twelve_standard_deviations_and_no_more(k_max, bound):
    room = rules.SLOT_LIMIT - k_max * bound
    most = room**2 // (144 * k_max)
    assert rules.slots_fit(k_max, bound, most)
    assert not rules.slots_fit(k_max, bound, most + 1)
    assert k_max * bound + isqrt(144 * k_max * most) <= rules.SLOT_LIMIT
