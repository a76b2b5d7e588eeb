"""The integers of a plan, from settings that a person understands (PROTOCOL 6). Nobody sets B2, V, B or the scale by hand."""

import math
from dataclasses import dataclass
from fractions import Fraction

from hushfleet.documents.limits import MAX_COHORT
from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.blocks import block_size, padded_dimension
from hushfleet.privacy.integer_rules import (
    KEEP_CHOICES,
    LEAST_HONEST,
    LEAST_VARIANCE,
    drawable,
    enough_honest_contributors,
    enough_variance,
    honest_contributors,
    one_fits,
    positive_sensitivity,
    width_possible,
)
from hushfleet.privacy.scale_search import GRID, Candidates, greatest_steps

_MOST_STEPS_PER_NORM = 2.0**53


@dataclass(frozen=True, slots=True)
class PlanIntegers:
    """The numbers of a plan that encoding needs, the same on every device of a round.

    `b2` bounds the squared L2 norm of each rounded update, `variance` is V of each device's noise N_Z(0, V) (0: no noise,
    no privacy), `bound` the clamp B, `scale` s (integer steps per unit of the update), `clip_norm` C, `padded` d', `slot_bits` w,
    `keep_one_in` the inverse of the fraction of coordinates that is sent.
    `LocalError` if they could not have come from `derive`: `PLAN_SENSITIVITY`, `PLAN_VARIANCE`, `PLAN_COHORT_ORDER`,
    `PLAN_COHORT_CEILING`, `PLAN_SLOTS`, `PLAN_SCALE`, `PLAN_CLIP_NORM`, `PLAN_DIMENSION`, `PLAN_KEEP`.
    `rounds.plan_check` judges the rest: honest contributors, the least noise, B2 against scale and clip norm, the sum in its slots.
    """

    b2: int
    variance: int
    bound: int
    k_min: int
    k_max: int
    scale: float
    clip_norm: float
    padded: int
    slot_bits: int
    keep_one_in: int

    def __post_init__(self) -> None:
        _require(positive_sensitivity(self.b2), Refusal.PLAN_SENSITIVITY, f"B2 is {self.b2}; at least 1 is expected")
        noisy_or_none = self.variance == 0 or (enough_variance(self.variance) and drawable(self.variance))
        _require(noisy_or_none, Refusal.PLAN_VARIANCE, f"V is {self.variance}; {LEAST_VARIANCE} to 2^30 is expected, or 0 without privacy")
        _check_cohort(self.k_min, self.k_max)
        fits = self.bound >= 1 and width_possible(self.slot_bits) and one_fits(self.slot_bits, self.bound, self.variance)
        text = f"a value of +-{self.bound} with noise of variance {self.variance} does not fit a slot of {self.slot_bits} bits"
        _require(fits, Refusal.PLAN_SLOTS, text)
        _require(self.keep_one_in in KEEP_CHOICES, Refusal.PLAN_KEEP, f"one coordinate in {self.keep_one_in} kept; one in {KEEP_CHOICES}")
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
    keep_one_in: int = 1,
    without_privacy: bool = False,
) -> PlanIntegers:
    """The integers of a plan for updates (`dimension`,) clipped to `clip_norm`.

    `noise_multiplier` z >= 0 is taken exactly as given (the string "0.1" is one tenth, the float 0.1 not quite). The noise
    that h = `k_min` - `colluding` honest devices add has a standard deviation of at least z times the sensitivity of the
    sum. z = 0 asks for a plan without differential privacy; it needs `without_privacy`, which no other z allows.

    Proof, with t = s C the clip norm in integer steps, D = d', blocks of b:
    1. Sensitivity. Clipping and rotation leave a norm <= t, and leaving coordinates out shrinks it. Stochastic rounding moves each
       coordinate by less than 1, so the norm is <= t + sqrt(D), always. Its square has mean <= t^2 + D/4 and is, with probability
       1 - beta, at most t^2 + D/4 + sqrt(2 ln(1/beta)) (t + sqrt(D)/2) (Kairouz, Liu, Steinke: The Distributed Discrete Gaussian
       Mechanism, 2021); beta = 2^-10. B2 is the floor of the smaller bound, and an integer is at most a bound iff it is at most its
       floor. So the one attempt of an honest rounding passes with probability >= 1 - 2^-10. Privacy needs none of this paragraph:
       whatever B2 is, devices enforce it.
    2. Noise. V = max(16, ceil(z^2 B2 / h)) gives h V >= z^2 B2.
    3. Clamp. After the rotation a coordinate is sub-Gaussian with parameter t / sqrt(b), even if the whole update lies in
       one block; B = 1 + ceil(6 t / sqrt(b)) leaves six of them untouched, and 1 for rounding up.
    4. Slots. `integer_rules.sum_fits`: the sum of k_max contributions leaves a slot of w bits with probability below 2^-40 in a
       round; `one_fits`: one device's value never does.
    5. Scale. t = (n / 1024) sqrt(D), with the greatest whole n in 1024..3584 that satisfies 4 at w = 24, that is t from sqrt(D) to
       3.5 sqrt(D); w is then the narrowest slot that satisfies 4. B2, V and B never fall when n grows, so neither does the load of a
       slot, and bisection finds that n.
    t^2, (t + sqrt(D))^2 and the squares of t + sqrt(D)/2 and of 6 t / sqrt(b) are rational, so each floor and ceiling is
    computed in integers (20 ln 2 from 48 decimals), with no float before the scale itself. The clip's slack of 2^-20 covers that one's
    rounding.

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
    return PlanIntegers(
        b2=candidates.b2(n),
        variance=candidates.variance(n),
        bound=candidates.bound(n),
        k_min=k_min,
        k_max=k_max,
        scale=scale,
        clip_norm=clip_norm,
        padded=padded,
        slot_bits=candidates.slot_bits(n),
        keep_one_in=keep_one_in,
    )


def sensitivity_matches(b2: int, *, scale: float, clip_norm: float, padded: int) -> bool:
    """True if B2 lies within [0.999 x, 1.001 x + 2] of the value x that scale, clip norm and d' give, computed in floats.

    With another B2 a plan could make "does it pass the check?" a question about one device. The guarantee itself rests on the integer
    check alone. False where x is no finite number.
    """
    steps, root = scale * clip_norm, math.sqrt(padded)
    if not (math.isfinite(steps) and 0 < steps <= _MOST_STEPS_PER_NORM):
        return False
    mostly = steps * steps + padded / 4 + math.sqrt(20 * math.log(2)) * (steps + root / 2)
    expected = min((steps + root) ** 2, mostly)
    return 0.999 * expected <= b2 <= 1.001 * expected + 2


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
