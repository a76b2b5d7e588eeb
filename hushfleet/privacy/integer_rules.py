"""The integer rules on which differential privacy and decoding rest (PROTOCOL 6). No floats anywhere.

The planner, every device and every committee member apply these same functions.
h = `honest_contributors(k_min, c)` contributors are assumed not to collude and to add their noise.
"""

SLOT_BITS = 20
SLOT_LIMIT = (1 << (SLOT_BITS - 1)) - 1
"""Largest magnitude that a balanced 20-bit slot holds on both sides of zero."""
LARGEST_BOUND = SLOT_LIMIT // 2
"""Largest clamp B that any plan can have, since every cohort has two contributors."""
LEAST_HONEST = 2
LEAST_VARIANCE = 16
_TAIL_SQUARED = 144
"""12^2: the slot holds 12 standard deviations of the noise of the sum."""


def honest_contributors(k_min: int, colluding: int) -> int:
    """h, how many contributors of the smallest cohort are assumed honest; may be negative."""
    return k_min - colluding


def enough_honest_contributors(k_min: int, colluding: int) -> bool:
    """True if h >= 2: with one, the sum minus the colluders' parts would be that one device's contribution."""
    return honest_contributors(k_min, colluding) >= LEAST_HONEST


def enough_variance(variance: int) -> bool:
    """True if V >= 16: a sum of such discrete Gaussians is as good as one, up to a correction below 1e-67."""
    return variance >= LEAST_VARIANCE


def positive_sensitivity(b2: int) -> bool:
    """True if B2 >= 1."""
    return b2 >= 1


def enough_noise(honest: int, variance: int, z2_numerator: int, z2_denominator: int, b2: int) -> bool:
    """True if h V >= z^2 B2, with z^2 = `z2_numerator` / `z2_denominator` and a positive denominator."""
    return honest * variance * z2_denominator >= z2_numerator * b2


def slots_fit(k_max: int, bound: int, variance: int) -> bool:
    """True if k_max clamped values plus 12 standard deviations of k_max noises of variance V stay within a slot."""
    room = SLOT_LIMIT - k_max * bound
    return room >= 0 and room * room >= _TAIL_SQUARED * k_max * variance
