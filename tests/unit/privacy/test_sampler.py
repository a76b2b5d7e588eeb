import bisect
import functools
import itertools
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.gaussian_table import MAX_VARIANCE, half_width, lower_half
from hushfleet.privacy.integer_rules import LARGEST_SUM
from hushfleet.privacy.sampler import discrete_gaussian
from hushfleet.randomness import SeededRandomness
from tests.support import cks
from tests.support.refusals import refused
from tests.support.scripted import Constant, Scripted

WORD = 1 << 128
VARIANCES = [1, 2, 16, 41, 3_750, 131_072]


@functools.cache
def cumulative(variance):
    """F(-m) .. F(m) as whole numbers below or at 2^128."""
    lower = lower_half(variance)
    return [*lower, *(WORD - entry for entry in reversed(lower)), WORD]


def full_search(word, variance):
    return bisect.bisect_right(cumulative(variance), word) - half_width(variance)


@functools.cache
def exact(variance):
    """Probabilities of 0 .. m in 100 digits, and the mass beyond m on both sides. Summed directly: no recurrence."""
    m = half_width(variance)
    with mpmath.workdps(100):
        weights = [mpmath.exp(-mpmath.mpf(x * x) / (2 * variance)) for x in range(2 * m)]
        total = weights[0] + 2 * mpmath.fsum(weights[1:])
        return [weight / total for weight in weights[: m + 1]], 2 * mpmath.fsum(weights[m + 1 :]) / total


def probabilities(variance, values):
    """P(X = x) for each x in `values`, as floats."""
    masses, _ = exact(variance)
    return np.array([float(masses[abs(x)]) for x in values])


@pytest.mark.parametrize("variance", VARIANCES)
def test_the_table_is_the_law_to_the_last_of_its_128_bits(variance):
    masses, beyond = exact(variance)
    with mpmath.workdps(100):
        inside, entries = 1 - beyond, [0, *cumulative(variance)]
        for x in range(half_width(variance) + 1):
            step = entries[x + half_width(variance) + 1] - entries[x + half_width(variance)]
            assert abs(step - masses[x] / inside * WORD) < 2


@pytest.mark.parametrize("variance", VARIANCES)
def test_the_total_variation_distance_is_below_the_stated_bound(variance):
    masses, beyond = exact(variance)
    with mpmath.workdps(100):
        entries = [0, *cumulative(variance)]
        drawn = np.diff(np.array(entries, dtype=object))
        m = half_width(variance)
        distance = mpmath.fsum(abs(mpmath.mpf(drawn[x + m]) / WORD - masses[abs(x)]) for x in range(-m, m + 1)) + beyond
        assert 0 < distance / 2 < mpmath.mpf(2) ** -108


@pytest.mark.parametrize("variance", [*VARIANCES, 2_100_000])
def test_the_table_is_symmetric_increasing_and_wide_enough(variance):
    entries = cumulative(variance)
    assert len(entries) == 2 * half_width(variance) + 1
    assert all(low < high for low, high in itertools.pairwise(entries))
    assert all(low + high == WORD for low, high in zip(entries[:-1], reversed(entries[:-1]), strict=True))
    assert half_width(variance) >= 12.2 * variance**0.5


def one_word(word, known_bits):
    """The reads of one draw whose random word is `word`: leading bits, the next 64, the last 64."""
    return [
        (word >> (128 - known_bits)).to_bytes(known_bits // 8, "little"),
        (word >> (64 - known_bits) & (1 << 64) - 1).to_bytes(8, "little"),
        (word & (1 << 64) - 1).to_bytes(8, "big"),
    ]


@pytest.mark.parametrize(("variance", "known_bits", "stride"), [(1, 16, 1), (41, 16, 1), (3_750, 16, 7), (131_072, 32, 61)])
def test_the_two_levels_give_what_a_full_search_gives_for_the_same_word(variance, known_bits, stride):
    sampler = discrete_gaussian(variance)
    stream = SeededRandomness(b"words")
    edges = [edge + offset for edge in cumulative(variance)[:-1:stride] for offset in (-1, 0, 1)]
    starts = [bucket << (128 - sampler.direct_bits) for bucket in range(1, 1 << sampler.direct_bits, 997 * stride)]
    buckets = [start - offset for start in starts for offset in (0, 1)]
    for word in [0, WORD - 1, *edges, *buckets, *(stream.bits(128) for _ in range(200))]:
        assert sampler.draw(1, Scripted(one_word(word, known_bits))).tolist() == [full_search(word, variance)]


def test_ties_on_64_bits_read_the_low_64_of_the_same_word():
    sampler, variance = discrete_gaussian(41), 41
    edge = cumulative(variance)[half_width(variance) - 3]
    for low, expected in (((edge & (1 << 64) - 1) - 1, -3), (edge & (1 << 64) - 1, -2)):
        reads = Scripted(one_word((edge >> 64 << 64) + low, 16))
        assert sampler.draw(1, reads).tolist() == [expected]
        assert reads.used_up


def test_several_entries_may_share_their_high_bits():
    entries = cumulative(41)
    shared = [entry for entry in entries if entry >> 64 == entries[0] >> 64]
    assert len(shared) > 2, "the far tail lies below 2^-64"
    for index, entry in enumerate(shared):
        assert discrete_gaussian(41).draw(1, Scripted(one_word(entry, 16))).tolist() == [index + 1 - half_width(41)]


def test_a_settled_draw_reads_nothing_further():
    settled = Scripted([(1 << 15 | 77).to_bytes(2, "little")])
    assert discrete_gaussian(41).draw(1, settled).tolist() == [full_search((1 << 15 | 77) << 112, 41)]
    assert settled.used_up


@pytest.mark.parametrize("variance", [1, 41, 3_750, 131_072, 2_100_000])
def test_few_draws_are_undecided(variance):
    sampler = discrete_gaussian(variance)
    assert 0 < (sampler.direct == sampler.undecided).mean() < 0.04


def test_the_largest_table_stays_small_and_its_noise_within_a_slot():
    sampler = discrete_gaussian(MAX_VARIANCE)
    discrete_gaussian.cache_clear()
    assert sampler.direct.nbytes + sampler.high.nbytes + sampler.low.nbytes < 22_000_000
    for value in (0, 255):
        extremes = sampler.draw(3, Constant(value))
        assert np.array_equal(np.abs(extremes), np.full(3, sampler.half_width))
        assert sampler.half_width < LARGEST_SUM
    draws = sampler.draw(10_000, SeededRandomness(b"wide"))
    assert 0.97 < draws.std() / MAX_VARIANCE**0.5 < 1.03


def test_batches_follow_one_another_in_one_stream():
    sampler, stream = discrete_gaussian(41), SeededRandomness(b"batches")
    at_once = sampler.draw((1 << 16) + 10, SeededRandomness(b"batches"))
    assert np.array_equal(at_once, np.concatenate([sampler.draw(1 << 16, stream), sampler.draw(10, stream)]))
    assert at_once.dtype == np.int64
    assert sampler.draw(0, stream).shape == (0,)


def test_tables_are_kept():
    assert discrete_gaussian(41) is discrete_gaussian(41)


@pytest.mark.parametrize("variance", [0, -1, MAX_VARIANCE + 1])
def test_variances_without_a_table_are_refused(variance):
    with refused(Refusal.PLAN_VARIANCE, LocalError):
        discrete_gaussian(variance)


def goodness_of_fit(draws, variance):
    """p-value of a chi-square test against the exact law, bins of at least 20 expected draws."""
    reach = max(x for x in range(half_width(variance)) if probabilities(variance, [x])[0] * len(draws) >= 20)
    inner = range(-reach, reach + 1)
    expected = probabilities(variance, inner) * len(draws)
    outer = (len(draws) - expected.sum()) / 2
    clipped = np.clip(draws, -reach - 1, reach + 1)
    observed = np.bincount(clipped + reach + 1, minlength=2 * reach + 3)
    keep = slice(None) if outer >= 5 else slice(1, -1)
    wanted = np.array([outer, *expected, outer])[keep]
    return chisquare(observed[keep], wanted * observed[keep].sum() / wanted.sum()).pvalue


def fast(variance, count):
    return discrete_gaussian(variance).draw(count, SeededRandomness(b"goodness of fit"))


@functools.cache
def slow(variance, count):
    stream = SeededRandomness(b"Canonne, Kamath, Steinke")
    return np.array([cks.discrete_gaussian(Fraction(variance), stream) for _ in range(count)])


@pytest.mark.parametrize(("variance", "count"), [(1, 200_000), (16, 500_000), (41, 1_000_000), (3_750, 1_000_000)])
def test_the_sampler_follows_the_exact_law(variance, count):
    assert goodness_of_fit(fast(variance, count), variance) > 0.01


@pytest.mark.parametrize(("variance", "count"), [(1, 20_000), (41, 30_000)])
def test_the_oracle_follows_the_exact_law(variance, count):
    assert goodness_of_fit(slow(variance, count), variance) > 0.01


@pytest.mark.parametrize(("draw", "count"), [(fast, 200_000), (slow, 30_000)])
def test_the_fit_is_rejected_where_the_law_is_another(draw, count):
    draws = draw(41, count)
    assert goodness_of_fit(draws, 52) < 1e-6
    assert goodness_of_fit(draws + (np.arange(count) % 2), 41) < 1e-6


@pytest.mark.parametrize(("draw", "count", "beyond"), [(fast, 1_000_000, 26), (fast, 1_000_000, 30), (slow, 30_000, 16)])
def test_the_tails_are_as_heavy_as_they_should_be(draw, count, beyond):
    masses, further = exact(41)
    tail = float(2 * mpmath.fsum(masses[beyond:]) + further)
    draws = draw(41, count)
    for hits in (np.count_nonzero(draws >= beyond), np.count_nonzero(draws <= -beyond)):
        assert binomtest(hits, count, tail / 2).pvalue > 0.01
    assert binomtest(np.count_nonzero(np.abs(draws) >= beyond - 4), count, tail).pvalue < 1e-6


def test_sampler_and_oracle_agree_on_wide_noise():
    variance = 131_072
    edges = np.quantile(fast(variance, 100_000), np.linspace(0.02, 0.98, 25))
    counts = [np.bincount(np.searchsorted(edges, draw(variance, 6_000)), minlength=26) for draw in (fast, slow)]
    pooled = (counts[0] + counts[1]) / 2
    assert chisquare(np.concatenate(counts), np.concatenate([pooled, pooled]), ddof=26).pvalue > 0.01
