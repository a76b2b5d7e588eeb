"""The integers of a plan, from settings that a person understands (PROTOCOL 6). Nobody sets B2, V, B or the scale by hand."""

import math
from dataclasses import dataclass
from fractions import Fraction

from hushfleet.documents.limits import MAX_COHORT
from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.blocks import block_size, padded_dimension
from hushfleet.privacy.integer_rules import (
    LEAST_HONEST,
    LEAST_VARIANCE,
    enough_honest_contributors,
    enough_variance,
    honest_contributors,
    positive_sensitivity,
    slots_fit,
)
from hushfleet.privacy.scale_search import GRID, Candidates, greatest_steps


@dataclass(frozen=True, slots=True)
class PlanIntegers:
    """The numbers of a plan that encoding needs, the same on every device of a round.

    `b2` bounds the squared L2 norm of each rounded update, `variance` is V of each device's noise N_Z(0, V) (0: no noise,
    no privacy), `bound` the clamp B, `scale` s (integer steps per unit of the update), `clip_norm` C, `padded` d'.
    `LocalError` if they could not have come from `derive`: `PLAN_SENSITIVITY`, `PLAN_VARIANCE`, `PLAN_COHORT_ORDER`,
    `PLAN_COHORT_CEILING`, `PLAN_SLOTS`, `PLAN_SCALE`, `PLAN_CLIP_NORM`, `PLAN_DIMENSION`.
    What needs the policy is not checked here: honest contributors and the least noise.
    """

    b2: int
    variance: int
    bound: int
    k_min: int
    k_max: int
    scale: float
    clip_norm: float
    padded: int

    def __post_init__(self) -> None:
        _require(positive_sensitivity(self.b2), Refusal.PLAN_SENSITIVITY, f"B2 is {self.b2}; at least 1 is expected")
        noisy_or_none = self.variance == 0 or enough_variance(self.variance)
        _require(noisy_or_none, Refusal.PLAN_VARIANCE, f"V is {self.variance}; at least {LEAST_VARIANCE} is expected, or 0 without privacy")
        _check_cohort(self.k_min, self.k_max)
        fits = self.bound >= 1 and slots_fit(self.k_max, self.bound, self.variance)
        _require(fits, Refusal.PLAN_SLOTS, f"{self.k_max} values of +-{self.bound} with variance {self.variance} do not fit a slot")
        _check_clip_norm(self.clip_norm)
        _require(_is_positive(self.scale), Refusal.PLAN_SCALE, f"a scale of {self.scale}; a finite number above 0 is expected")
        _require(padded_dimension(self.padded) == self.padded, Refusal.PLAN_DIMENSION, f"{self.padded} is not a padded dimension")


def derive(
    *,
    dimension: int,
    clip_norm: float,
    noise_multiplier: Fraction | float | str,
    k_min: int,
    k_max: int,
    colluding: int,
    without_privacy: bool = False,
) -> PlanIntegers:
    """The integers of a plan for updates (`dimension`,) clipped to `clip_norm`.

    `noise_multiplier` z >= 0 is taken exactly as given (the string "0.1" is one tenth, the float 0.1 not quite). The noise
    that h = `k_min` - `colluding` honest devices add has a standard deviation of at least z times the sensitivity of the
    sum. z = 0 asks for a plan without differential privacy; it needs `without_privacy`, which no other z allows.

    Proof, with t = s C the clip norm in integer steps, D = d', blocks of b:
    1. Sensitivity. Clipping and rotation leave a norm <= t. Stochastic rounding moves each coordinate by less than 1, so
       the norm is <= t + sqrt(D), always. Its square has mean <= t^2 + D/4 and is, with probability 1 - beta, at most
       t^2 + D/4 + sqrt(2 ln(1/beta)) (t + sqrt(D)/2) (Kairouz, Liu, Steinke: The Distributed Discrete Gaussian Mechanism,
       2021); beta = exp(-1/2) makes the root 1. B2 is the floor of the smaller bound, and an integer is at most a bound
       iff it is at most its floor. An honest rounding thus passes with probability >= 0.39 an attempt, in practice nearly
       always. Privacy needs none of this paragraph: whatever B2 is, devices enforce it.
    2. Noise. V = max(16, ceil(z^2 B2 / h)) gives h V >= z^2 B2.
    3. Clamp. After the rotation a coordinate is sub-Gaussian with parameter t / sqrt(b), even if the whole update lies in
       one block; B = 1 + ceil(6 t / sqrt(b)) leaves six of them untouched, and 1 for rounding up.
    4. Slots. `rules.slots_fit`: k_max B plus 12 standard deviations of k_max noises stay within 2^19 - 1, so the sum of
       honest contributions decodes to itself, except with a chance below 1e-31 per coordinate.
    5. Scale. t = (n / 1024) sqrt(D), with the greatest whole n in 1024..3584 that satisfies 4, that is t from sqrt(D) to
       3.5 sqrt(D). B2, V and B never fall when n grows, so neither does the load of a slot, and bisection finds that n.
    t^2, (t + sqrt(D))^2 and the squares of t + sqrt(D)/2 and of 6 t / sqrt(b) are rational, so each floor and ceiling is
    computed in integers, with no float before the scale itself. The clip's slack of 2^-20 covers that one's rounding.

    `LocalError`: `PLAN_UNREACHABLE` if t = sqrt(D) already overloads a slot (the next step names the setting to change);
    `PLAN_DIMENSION`, `PLAN_CLIP_NORM`, `PLAN_SCALE`, `PLAN_NOISE`, `PLAN_WITHOUT_PRIVACY`, `PLAN_COHORT_ORDER`,
    `PLAN_COHORT_CEILING`, `PLAN_HONEST_CONTRIBUTORS`.
    """
    z = _noise_multiplier(noise_multiplier, without_privacy=without_privacy)
    padded = padded_dimension(dimension)
    _check_clip_norm(clip_norm)
    _check_cohort(k_min, k_max)
    _check_honest(k_min, colluding)
    candidates = Candidates(padded, block_size(dimension), z * z, honest_contributors(k_min, colluding), k_min, k_max)
    n = greatest_steps(candidates)
    scale = n / GRID * math.sqrt(padded) / clip_norm
    return PlanIntegers(candidates.b2(n), candidates.variance(n), candidates.bound(n), k_min, k_max, scale, clip_norm, padded)


def _noise_multiplier(given: Fraction | float | str, *, without_privacy: bool) -> Fraction:
    try:
        z = Fraction(given)
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        raise LocalError(Refusal.PLAN_NOISE, f"a noise multiplier of {given!r}; a number of at least 0 is expected") from error
    _require(z >= 0, Refusal.PLAN_NOISE, f"a noise multiplier of {given!r}; a number of at least 0 is expected")
    _require(
        (z == 0) == without_privacy,
        Refusal.PLAN_WITHOUT_PRIVACY,
        f"a noise multiplier of {given!r} with without_privacy = {without_privacy}; 0 and true belong together",
    )
    return z


def _check_cohort(k_min: int, k_max: int) -> None:
    _require(LEAST_HONEST <= k_min <= k_max, Refusal.PLAN_COHORT_ORDER, f"a cohort of {k_min} to {k_max} devices")
    _require(k_max <= MAX_COHORT, Refusal.PLAN_COHORT_CEILING, f"a cohort of up to {k_max} devices; at most {MAX_COHORT} are possible")


def _check_honest(k_min: int, colluding: int) -> None:
    honest = colluding >= 0 and enough_honest_contributors(k_min, colluding)
    message = f"of {k_min} devices, {colluding} are assumed to collude; at least {LEAST_HONEST} must remain"
    _require(honest, Refusal.PLAN_HONEST_CONTRIBUTORS, message)


def _check_clip_norm(clip_norm: float) -> None:
    _require(_is_positive(clip_norm), Refusal.PLAN_CLIP_NORM, f"a clip norm of {clip_norm}; a finite number above 0 is expected")


def _is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _require(condition: bool, reason: Refusal, message: str) -> None:
    if not condition:
        raise LocalError(reason, message)
