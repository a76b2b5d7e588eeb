"""Epsilon between two independent figures: the exact one of the Gaussian mechanism below, and dp-accounting's above."""

import math
from functools import cache

import dp_accounting
import mpmath
import pytest
from dp_accounting.rdp import RdpAccountant

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.epsilon import GREATEST_TOTAL, epsilon
from tests.support.refusals import refused

TOTALS = [1, 1000, 10**6, 10**7, 31_245_615, 10**8, 249_964_920, 10**9, 10**10, 10**12, 10**15]
DELTAS = [1e-300, 1e-20, 1e-9, 1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999]
GRID = [(total, delta) for total in TOTALS for delta in DELTAS]


@pytest.mark.parametrize(("z", "rounds", "expected"), [(4, 8, 3.5), (4, 50, 10.1), (8, 50, 4.5), (1, 50, 60.6)])
def test_the_reference_table(z, rounds, expected):
    assert round(epsilon(rounds * 10**9 // (2 * z * z), 1e-6), 1) == expected


@pytest.mark.parametrize(("total", "delta"), GRID)
def test_dp_accounting_never_gives_less(total, delta):
    accountant = RdpAccountant(neighboring_relation=dp_accounting.NeighboringRelation.REPLACE_SPECIAL)
    accountant.compose(dp_accounting.ZCDpEvent(total / 10**9))
    assert epsilon(total, delta) <= accountant.get_epsilon(delta) * (1 + 1e-12)


@pytest.mark.parametrize(("total", "delta"), GRID)
def test_it_is_the_exact_minimum_rounded_up(total, delta):
    exact = least_bound(total, delta)
    assert exact <= epsilon(total, delta) <= exact * (1 + mpmath.mpf(10) ** -12) + mpmath.mpf(10) ** -12


@pytest.mark.parametrize(("total", "delta"), GRID)
def test_it_covers_the_exact_delta_of_the_gaussian_mechanism(total, delta):
    assert gaussian_delta(total, epsilon(total, delta)) <= delta


@pytest.mark.parametrize(("total", "delta"), [(10**7, 1e-6), (249_964_920, 1e-6), (10**9, 1e-6), (10**10, 1e-9)])
def test_a_gaussian_mechanism_with_nine_tenths_of_that_epsilon_would_miss_delta(total, delta):
    assert gaussian_delta(total, 0.9 * epsilon(total, delta)) > delta


def test_epsilon_grows_with_what_is_spent_and_shrinks_with_delta():
    values = [epsilon(total, 1e-6) for total in TOTALS]
    assert values == sorted(values)
    assert epsilon(10**8, 1e-3) < epsilon(10**8, 1e-6) < epsilon(10**8, 1e-9)


@pytest.mark.parametrize("delta", [5e-324, 1e-6, 1 - 2**-53])
def test_nothing_spent_is_epsilon_0_and_all_that_can_be_told_is_finite(delta):
    assert epsilon(0, delta) == 0.0
    assert 1e21 < epsilon(GREATEST_TOTAL, delta) < 1.01e21


def test_the_least_delta_and_the_greatest_are_counted_with():
    assert 0 < epsilon(10**8, 1e-6) < epsilon(10**8, 5e-324) < 0.1 + 2 * math.sqrt(0.1 * 745), "at most as Bun and Steinke 2016 bound it"
    assert epsilon(10**8, 0.31) == 0.0, "delta covers the total variation"
    assert epsilon(10**11, 1 - 2**-53) > 50


@pytest.mark.parametrize("total", [-1, GREATEST_TOTAL + 1, 0.5, True])
def test_totals_out_of_range_have_no_epsilon(total):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        epsilon(total, 1e-6)


@pytest.mark.parametrize("delta", [0.0, 1.0, math.nan, -1e-6, math.inf])
def test_deltas_out_of_range_have_no_epsilon(delta):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        epsilon(1, delta)


@cache
def least_bound(total, delta):
    """The less of both bounds in 60 digits, the minimum over alpha found by bisecting a numerical derivative."""
    with mpmath.workdps(60):
        rho, delta = mpmath.mpf(total) / 10**9, mpmath.mpf(delta)
        if 1 - mpmath.exp(-rho) <= delta**2:
            return mpmath.mpf(0)

        def bound(log_t):
            alpha = 1 + mpmath.exp(log_t)
            return alpha * rho + mpmath.log(1 - 1 / alpha) - mpmath.log(delta * alpha) / (alpha - 1)

        low, high = mpmath.mpf(-100), mpmath.mpf(100)
        while high - low > mpmath.mpf(10) ** -15:
            middle = (low + high) / 2
            low, high = (middle, high) if mpmath.diff(bound, middle, h=mpmath.mpf(10) ** -20) < 0 else (low, middle)
        return max(mpmath.mpf(0), bound(low))


def gaussian_delta(total, value):
    """Balle and Wang 2018, theorem 8: the least delta at epsilon = `value` of a Gaussian mechanism with this rho."""
    with mpmath.workdps(400):
        mu, value = mpmath.sqrt(2 * mpmath.mpf(total) / 10**9), mpmath.mpf(value)
        return mpmath.ncdf(mu / 2 - value / mu) - mpmath.exp(value) * mpmath.ncdf(-mu / 2 - value / mu)
