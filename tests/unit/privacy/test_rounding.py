import math

import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.integer_rules import LARGEST_BOUND
from hushfleet.privacy.rounding import round_within
from hushfleet.randomness import SeededRandomness
from tests.support.refusals import refused
from tests.support.scripted import Constant, Scripted

WIDE = {"bound": 1_000, "b2": 10**12}


def leading(*values: int):
    return b"".join(value.to_bytes(2, "little") for value in values)


def test_whole_numbers_stay_whatever_is_drawn():
    whole = np.array([-3.0, -0.0, 0.0, 7.0])
    for value in (0, 255):
        assert round_within(whole, **WIDE, randomness=Constant(value)).tolist() == [-3, 0, 0, 7]


def test_between_two_integers_the_draw_decides():
    halves = np.array([-1.5, 0.5, 2.25])
    assert round_within(halves, **WIDE, randomness=Constant(0)).tolist() == [-1, 1, 3]
    assert round_within(halves, **WIDE, randomness=Constant(255)).tolist() == [-2, 0, 2]


@pytest.mark.parametrize(("drawn", "rounded"), [(0x3FFF, 1), (0x4000, 0), (0x4001, 0)])
def test_the_16_leading_bits_decide_where_they_differ_from_the_fraction(drawn, rounded):
    further = [] if drawn != 0x4000 else [bytes(8)]
    source = Scripted([leading(drawn), *further])
    assert round_within(np.array([0.25]), **WIDE, randomness=source).tolist() == [rounded]
    assert source.used_up


@pytest.mark.parametrize(("further", "rounded"), [(0, 6), ((1 << 63) - (1 << 11), 6), (1 << 63, 5), ((1 << 64) - 1, 5)])
def test_equal_leading_bits_are_decided_by_64_more(further, rounded):
    source = Scripted([leading(0x1234), further.to_bytes(8, "little")])
    scaled = np.array([5 + (0x1234 + 0.5) / 65_536])
    assert round_within(scaled, **WIDE, randomness=source).tolist() == [rounded]
    assert source.used_up


def test_only_values_whose_leading_bits_are_equal_read_more():
    source = Scripted([leading(9, 0x8000, 9), bytes(8)])
    assert round_within(np.array([0.5, 0.5, 0.5]), **WIDE, randomness=source).tolist() == [1, 0, 1]
    assert source.used_up


def test_a_fraction_that_rounds_to_one_is_a_one():
    assert round_within(np.array([-1e-30]), **WIDE, randomness=Constant(255)).tolist() == [0]


def test_rounding_is_unbiased():
    fractions = np.repeat([0.001, 0.3, 0.5, 0.97, -2.25], 40_000)
    rounded = round_within(fractions, **WIDE, randomness=SeededRandomness(b"unbiased")).reshape(5, -1)
    for row, expected in zip(rounded, fractions.reshape(5, -1)[:, 0], strict=True):
        spread = math.sqrt((expected % 1) * (1 - expected % 1) / row.size)
        assert abs(row.mean() - expected) < 4 * spread
        assert set(np.unique(row)) == {math.floor(expected), math.ceil(expected)}


def test_values_are_clamped_on_both_sides():
    assert round_within(np.array([5.5, -1e300, 1e300]), bound=3, b2=27, randomness=Constant(0)).tolist() == [3, -3, 3]


def test_a_norm_exactly_at_the_bound_passes_and_one_more_is_zero_after_the_same_single_attempt():
    scaled = np.array([1.5, 2.0])
    passes, fails = Constant(0), Constant(0)
    assert round_within(scaled, bound=9, b2=8, randomness=passes).tolist() == [2, 2]
    assert round_within(scaled, bound=9, b2=7, randomness=fails).tolist() == [0, 0]
    assert passes.requests == fails.requests == 2, "what was drawn must not tell one from the other"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_rounded(value):
    with refused(Refusal.UPDATE_NOT_FINITE, LocalError):
        round_within(np.array([0.0, value]), **WIDE, randomness=Constant(0))


@pytest.mark.parametrize("scaled", [np.zeros(0), np.zeros((2, 2))])
def test_only_flat_vectors_are_rounded(scaled):
    with refused(Refusal.UPDATE_SHAPE, LocalError):
        round_within(scaled, **WIDE, randomness=Constant(0))


@pytest.mark.parametrize("bound", [0, -1, LARGEST_BOUND + 1])
def test_a_clamp_that_no_plan_has_is_refused(bound):
    with refused(Refusal.VALUE_OUT_OF_SLOT, LocalError):
        round_within(np.zeros(3), bound=bound, b2=1, randomness=Constant(0))
