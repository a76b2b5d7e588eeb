import math
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf

from hushfleet.aggregation import check_norm
from hushfleet.errors import LocalError, PeerError, Refusal
from tests.support.refusals import refused


def bound(count, b2, variance, padded):
    """PROTOCOL 5.5 with 60 digits."""
    with mp.workdps(60):
        k, noise = mpf(count), mpf(count) * variance
        return k * mp.sqrt(b2) + mpf(11) / 10 * mp.sqrt(noise * padded) + 12 * mp.sqrt(noise)


@pytest.mark.parametrize("count", [1, 2, 40, 2800])
@pytest.mark.parametrize("b2", [1, 2, 8_973, 10**9])
@pytest.mark.parametrize("variance", [0, 16, 7_001, 2 * 10**8])
@pytest.mark.parametrize("padded", [64, 704])
def test_the_greatest_allowed_norm_passes_and_the_next_is_refused(count, b2, variance, padded):
    with mp.workdps(60):
        most = int(mp.floor(bound(count, b2, variance, padded) ** 2 + mpf(10) ** -30))
    passing, refused_sum = with_squared_norm(most, padded), with_squared_norm(most + 1, padded)
    check_norm(passing, count=count, b2=b2, variance=variance)
    with refused(Refusal.RELEASE_NORM, PeerError):
        check_norm(refused_sum, count=count, b2=b2, variance=variance)


def with_squared_norm(squared, size):
    """A vector of integers with exactly this sum of squares: greatest square first, again and again."""
    values, rest = [], squared
    while rest:
        values.append(math.isqrt(rest))
        rest -= values[-1] ** 2
    return np.array(values + [0] * (size - len(values)), dtype=np.int64)


def test_without_noise_the_bound_itself_is_allowed():
    total = np.zeros(64, dtype=np.int64)
    total[0] = 30
    check_norm(total, count=10, b2=9, variance=0)
    total[1] = 1
    with refused(Refusal.RELEASE_NORM, PeerError):
        check_norm(total, count=10, b2=9, variance=0)


def test_sums_whose_squares_leave_int64_are_refused_not_wrapped():
    """2^32 squared is 0 modulo 2^64."""
    for value in (2**32, -(2**32), 2**63 - 1, -(2**63)):
        with refused(Refusal.RELEASE_NORM, PeerError):
            check_norm(np.full(64, value, dtype=np.int64), count=10, b2=100, variance=16)


def test_an_honest_sum_with_noise_passes_and_a_uniform_one_is_refused():
    generator, count, variance, b2, padded = np.random.default_rng(5), 40, 9_000, 8_700, 704
    noise = np.rint(generator.normal(scale=math.sqrt(count * variance), size=padded)).astype(np.int64)
    noise[0] += count * math.isqrt(b2)
    check_norm(noise, count=count, b2=b2, variance=variance)
    with refused(Refusal.RELEASE_NORM, PeerError):
        check_norm(generator.integers(-(2**19), 2**19, size=padded), count=count, b2=b2, variance=variance)


@pytest.mark.parametrize(("count", "b2", "variance"), [(0, 1, 16), (1, 0, 16), (1, 1, -1)])
def test_figures_that_no_plan_has_are_refused(count, b2, variance):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        check_norm(np.zeros(64, dtype=np.int64), count=count, b2=b2, variance=variance)


def test_the_bound_of_this_test_agrees_with_exact_fractions_where_roots_are_integers():
    assert Fraction(str(bound(4, 9, 25, 100))) == 4 * 3 + Fraction(11, 10) * 100 + 12 * 10
