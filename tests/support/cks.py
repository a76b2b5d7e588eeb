"""The exact discrete Gaussian of Canonne, Kamath and Steinke (2020, algorithms 1 to 3), in fractions: slow, and an oracle.

No table, no recurrence, no float: nothing in common with `hushfleet.privacy.sampler` but the law.
"""

import math
from fractions import Fraction

from hushfleet.randomness import Randomness


def discrete_gaussian(variance: Fraction, randomness: Randomness) -> int:
    """Algorithm 3: one draw from N_Z(0, variance)."""
    t = math.isqrt(math.floor(variance)) + 1
    while True:
        candidate = _laplace(t, randomness)
        if _bernoulli_exp((abs(candidate) - variance / t) ** 2 / (2 * variance), randomness):
            return candidate


def _laplace(scale: int, randomness: Randomness) -> int:
    """Algorithm 2 with s = 1."""
    while True:
        remainder = randomness.below(scale)
        if not _bernoulli_exp(Fraction(remainder, scale), randomness):
            continue
        quotient = 0
        while _bernoulli_exp(Fraction(1), randomness):
            quotient += 1
        magnitude, negative = remainder + scale * quotient, randomness.bits(1)
        if magnitude or not negative:
            return -magnitude if negative else magnitude


def _bernoulli_exp(gamma: Fraction, randomness: Randomness) -> bool:
    """Algorithm 1: true with probability exp(-gamma)."""
    while gamma > 1:
        if not _bernoulli_exp(Fraction(1), randomness):
            return False
        gamma -= 1
    k = 1
    while _bernoulli(gamma / k, randomness):
        k += 1
    return k % 2 == 1


def _bernoulli(probability: Fraction, randomness: Randomness) -> bool:
    return randomness.below(probability.denominator) < probability.numerator
