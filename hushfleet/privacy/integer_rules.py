"""The integer rules on which differential privacy and decoding rest (PROTOCOL 6). No floats decide about privacy.

The planner, every device and every committee member apply these same functions.
h = `honest_contributors(k_min, c)` contributors are assumed not to collude and to add their noise.
"""

import math
from fractions import Fraction

from hushfleet.privacy.gaussian_table import MAX_VARIANCE, half_width

LEAST_SLOT_BITS, MOST_SLOT_BITS = 8, 24
LARGEST_BOUND = (1 << 18) - 1
"""Largest clamp B of any plan: the squares of 2^26 values within it add up below 2^62, so the norm check cannot overflow."""
KEEP_CHOICES = (1, 2, 4)
"""One coordinate in so many may be kept."""
LEAST_HONEST = 2
LEAST_VARIANCE = 16


def honest_contributors(k_min: int, colluding: int) -> int:
    """h, how many contributors of the smallest cohort are assumed honest; may be negative."""
    return k_min - colluding


def enough_honest_contributors(k_min: int, colluding: int) -> bool:
    """True if h >= 2: with one, the sum minus the colluders' parts would be that one device's contribution."""
    return honest_contributors(k_min, colluding) >= LEAST_HONEST


def enough_variance(variance: int) -> bool:
    """True if V >= 16: a sum of such discrete Gaussians is as good as one, up to a correction below 1e-67."""
    return variance >= LEAST_VARIANCE


def drawable(variance: int) -> bool:
    """True if the sampler has tables for V, so that a device that accepted a plan can add its noise."""
    return variance <= MAX_VARIANCE


def positive_sensitivity(b2: int) -> bool:
    """True if B2 >= 1."""
    return b2 >= 1


def enough_noise(honest: int, variance: int, z2_numerator: int, z2_denominator: int, b2: int) -> bool:
    """True if h V >= z^2 B2, with z^2 = `z2_numerator` / `z2_denominator` and a positive denominator."""
    return honest * variance * z2_denominator >= z2_numerator * b2


def slot_limit(slot_bits: int) -> int:
    """Largest magnitude that a balanced slot of w = `slot_bits` bits holds on both sides of zero."""
    return (1 << (slot_bits - 1)) - 1


LARGEST_SUM = slot_limit(MOST_SLOT_BITS)


def width_possible(slot_bits: int) -> bool:
    """True if w is one that a plan may have."""
    return LEAST_SLOT_BITS <= slot_bits <= MOST_SLOT_BITS


def one_fits(slot_bits: int, bound: int, variance: int) -> bool:
    """True if a slot holds every value that one device can send: the clamp B plus the most that the sampler draws.

    A device that accepted such a plan never fails on its own value, whatever its data are.
    """
    return bound <= LARGEST_BOUND and bound + half_width(variance) <= slot_limit(slot_bits)


def sum_fits(slot_bits: int, *, k_max: int, variance: int, steps_squared: Fraction, padded: int, block: int) -> bool:
    """True if sums of `k_max` contributions stay in slots of w bits: (2^(w-1) - 1)^2 b >= g^2 (k_max (V + 1) b + k_max^2 (sC)^2).

    `steps_squared` is (sC)^2, `padded` d', `block` b; g^2 = 2 ln(2^41 d') rounded up. A coordinate of the rotated sum is
    sub-Gaussian with parameter at most (k_max sC)^2 / b over the signs of the rotation, even if all updates agree and lie in one
    block; noise adds k_max V and rounding less than k_max. So no slot overflows but with probability 2^-40 in a whole round. This
    concerns correctness: a sum that wraps reveals less.
    """
    g2 = math.ceil(2 * (41 * math.log(2) + math.log(padded)))
    return slot_limit(slot_bits) ** 2 * block >= g2 * (k_max * (variance + 1) * block + k_max**2 * steps_squared)
