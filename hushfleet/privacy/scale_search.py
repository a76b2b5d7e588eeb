"""The greatest scale whose sums still fit a slot: plan integers as exact functions of the scale. Proof in `plan_integers.derive`."""

import math
from dataclasses import dataclass
from fractions import Fraction

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.integer_rules import LEAST_VARIANCE, SLOT_LIMIT, slots_fit

GRID = 1_024
"""The clip norm in integer steps is t = (n / GRID) sqrt(d') with a whole n."""
LEAST_STEPS = GRID
MOST_STEPS = 7 * GRID // 2


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
        mostly = (self.padded * (4 * steps**2 + GRID**2) + math.isqrt(self.padded * slack**2)) // (4 * GRID**2)
        return min(always, mostly)

    def bound(self, steps: int) -> int:
        """B = 1 + ceil(6 t / sqrt(b)): 1 plus the smallest x with x >= 6 n sqrt(d'/b) / GRID."""
        return 1 + -(-_ceil_sqrt(36 * steps**2 * (self.padded // self.block)) // GRID)

    def variance(self, steps: int) -> int:
        """V = max(16, ceil(z^2 B2 / h)), or 0 without privacy."""
        return max(LEAST_VARIANCE, math.ceil(self.z2 * self.b2(steps) / self.honest)) if self.z2 else 0

    def fits(self, steps: int, k_max: int) -> bool:
        """True if a slot holds the sum of `k_max` contributions."""
        return slots_fit(k_max, self.bound(steps), self.variance(steps))


def greatest_steps(candidates: Candidates) -> int:
    """The greatest n that fits. `LocalError` (`PLAN_UNREACHABLE`) if not even the least does, saying what to change."""
    if candidates.fits(MOST_STEPS, candidates.k_max):
        return MOST_STEPS
    if not candidates.fits(LEAST_STEPS, candidates.k_max):
        message = "the noise and the clamped values of the largest cohort overload a 20-bit slot at every scale."
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
    if noise:
        ways += [f"lower noise_multiplier to {noise:.2g}", "raise min_devices (each device then adds less noise)"]
    return f"Either {', or '.join(ways)}." if ways else "Train a smaller model, or lower min_devices and max_devices."


def _greatest_cohort(candidates: Candidates) -> int:
    fits, overloads = 0, candidates.k_max
    while overloads - fits > 1:
        middle = (fits + overloads) // 2
        fits, overloads = (middle, overloads) if candidates.fits(LEAST_STEPS, middle) else (fits, middle)
    return fits


def _greatest_noise(candidates: Candidates) -> float:
    """The greatest z, two digits rounded down, that fits at the least scale."""
    room = max(0, SLOT_LIMIT - candidates.k_max * candidates.bound(LEAST_STEPS))
    z = math.sqrt(room**2 // (144 * candidates.k_max) * candidates.honest / candidates.b2(LEAST_STEPS))
    if z < 0.01:
        return 0.0
    digit = 10.0 ** (math.floor(math.log10(z)) - 1)
    return math.floor(z / digit) * digit


def _ceil_sqrt(value: int) -> int:
    root = math.isqrt(value)
    return root + (root * root < value)
