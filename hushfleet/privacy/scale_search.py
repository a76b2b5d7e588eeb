"""The greatest scale whose sums still fit a slot: plan integers as exact functions of the scale. Proof in `plan_integers.derive`."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.integer_rules import LEAST_SLOT_BITS, LEAST_VARIANCE, MOST_SLOT_BITS, drawable, one_fits, sum_fits

GRID = 1_024
"""The clip norm in integer steps is t = (n / GRID) sqrt(d') with a whole n."""
LEAST_STEPS = GRID
MOST_STEPS = 7 * GRID // 2
_TWO_LOG = Fraction(13_862943611198906188344642429163531361510002687205, 10**48)
"""2 ln(1 / beta) = 20 ln 2 with beta = 2^-10, to 48 decimals, rounded down."""
_MARGIN = 1 + Fraction(1, 1 << 40)
"""More than what the scale loses as a float: whoever checks a plan computes (sC)^2 from that float."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Plan integers for each n = `steps`; none of them ever falls when n grows."""

    padded: int
    block: int
    z2: Fraction
    honest: int
    k_min: int
    k_max: int

    def b2(self, steps: int) -> int:
        """floor(Delta2^2), the smaller of the bound that always holds and the one that holds with probability 1 - beta."""
        always = self.padded * (steps + GRID) ** 2 // GRID**2
        slack = 2 * GRID * (2 * steps + GRID)
        spread = math.isqrt(_TWO_LOG.numerator * self.padded * slack**2 // _TWO_LOG.denominator)
        mostly = (self.padded * (4 * steps**2 + GRID**2) + spread) // (4 * GRID**2)
        return min(always, mostly)

    def bound(self, steps: int) -> int:
        """B = 1 + ceil(6 t / sqrt(b)): 1 plus the smallest x with x >= 6 n sqrt(d'/b) / GRID."""
        return 1 + -(-_ceil_sqrt(36 * steps**2 * (self.padded // self.block)) // GRID)

    def variance(self, steps: int) -> int:
        """V = max(16, ceil(z^2 B2 / h)), or 0 without privacy."""
        return max(LEAST_VARIANCE, math.ceil(self.z2 * self.b2(steps) / self.honest)) if self.z2 else 0

    def fits(self, steps: int, k_max: int, slot_bits: int = MOST_SLOT_BITS) -> bool:
        """True if a slot (default: the widest) holds each contribution and the sum of `k_max` of them, and V can be drawn."""
        variance, squared = self.variance(steps), self.steps_squared(steps)
        summed = sum_fits(slot_bits, k_max=k_max, variance=variance, steps_squared=squared, padded=self.padded, block=self.block)
        return drawable(variance) and one_fits(slot_bits, self.bound(steps), variance) and summed

    def steps_squared(self, steps: int) -> Fraction:
        """t^2, and a little more."""
        return Fraction(self.padded * steps**2, GRID**2) * _MARGIN

    def slot_bits(self, steps: int) -> int:
        """w, the narrowest slot that fits where the widest does."""
        return next(bits for bits in range(LEAST_SLOT_BITS, MOST_SLOT_BITS + 1) if self.fits(steps, self.k_max, bits))


def greatest_steps(candidates: Candidates) -> int:
    """The greatest n that fits. `LocalError` (`PLAN_UNREACHABLE`) if not even the least does, saying what to change."""
    if candidates.fits(MOST_STEPS, candidates.k_max):
        return MOST_STEPS
    if not candidates.fits(LEAST_STEPS, candidates.k_max):
        message = f"the noise and the values of the largest cohort overload a slot of {MOST_SLOT_BITS} bits at every scale."
        raise LocalError(Refusal.PLAN_UNREACHABLE, message, next_step=_advice(candidates))
    fits, overloads = LEAST_STEPS, MOST_STEPS
    while overloads - fits > 1:
        middle = (fits + overloads) // 2
        fits, overloads = (middle, overloads) if candidates.fits(middle, candidates.k_max) else (fits, middle)
    return fits


def _advice(candidates: Candidates) -> str:
    """Each setting that would do on its own, with its value."""
    cohort, noise = _greatest_cohort(candidates), _greatest_noise(candidates)
    ways = [f"lower max_devices to {cohort}"] if cohort >= candidates.k_min else []
    ways += [f"lower noise_multiplier to {noise:g}", "raise min_devices (each device then adds less noise)"]
    return f"Either {', or '.join(ways)}."


def _greatest_cohort(candidates: Candidates) -> int:
    fits, overloads = 0, candidates.k_max
    while overloads - fits > 1:
        middle = (fits + overloads) // 2
        fits, overloads = (middle, overloads) if candidates.fits(LEAST_STEPS, middle) else (fits, middle)
    return fits


def _greatest_noise(candidates: Candidates) -> float:
    """The greatest z, two digits rounded down, that fits at the least scale."""
    fits, overloads = 1, 1 << 24  # z = 0.01 fits with the greatest cohort and model that there are
    while overloads - fits > 1:
        middle = (fits + overloads) // 2
        other = replace(candidates, z2=Fraction(middle, 100) ** 2)
        fits, overloads = (middle, overloads) if other.fits(LEAST_STEPS, candidates.k_max) else (fits, middle)
    digit = 10.0 ** (math.floor(math.log10(fits / 100)) - 1)
    return math.floor(fits / 100 / digit) * digit


def _ceil_sqrt(value: int) -> int:
    root = math.isqrt(value)
    return root + (root * root < value)
