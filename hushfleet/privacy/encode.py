"""The whole way of an update to what a scheme encrypts (PROTOCOL 6, 5.2)."""

import numpy as np

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.blocks import padded_dimension
from hushfleet.privacy.clipping import ClippedVector
from hushfleet.privacy.keep import kept_coordinates
from hushfleet.privacy.noise import EncodedVector, add_noise
from hushfleet.privacy.plan_integers import PlanIntegers
from hushfleet.privacy.rotation import rotate
from hushfleet.privacy.rounding import round_within
from hushfleet.randomness import Randomness

_MOST_STEPS = 2.0**53


def encode_vector(clipped: ClippedVector, plan: PlanIntegers, plan_hash: bytes, randomness: Randomness) -> EncodedVector:
    """Rotate, keep, scale, round, clamp, check in integers, add noise: `clipped` (d,) becomes (d' / `keep_one_in`,) int64.

    `randomness` must be fresh: two encodings of one update under the same noise would reveal it. Encode once per plan.
    `LocalError`: `PLAN_DIMENSION` or `PLAN_CLIP_NORM` if `clipped` was not made for this `plan`, `PLAN_HASH`. Whether it
    raises never depends on the update's values, however ill-matched a plan's scale and clip norm are.
    """
    _check(clipped, plan)
    steps_per_norm = min(plan.scale * plan.clip_norm, _MOST_STEPS)
    with np.errstate(all="ignore"):  # as in `clip`: an application's own settings must not decide who takes part
        rotated = rotate(clipped.values / plan.clip_norm, plan_hash)
        scaled = rotated[kept_coordinates(clipped.values.size, plan.keep_one_in, plan_hash)] * steps_per_norm
        rounded = round_within(scaled, bound=plan.bound, b2=plan.b2, randomness=randomness)
    return add_noise(rounded, plan.variance, randomness)


def encode_zero(dimension: int, plan: PlanIntegers, plan_hash: bytes, randomness: Randomness) -> EncodedVector:
    """The zero vector with full noise, through `encode_vector` itself, for a device without a usable update. Errors as there."""
    return encode_vector(ClippedVector.zero(dimension, plan.clip_norm), plan, plan_hash, randomness)


def _check(clipped: ClippedVector, plan: PlanIntegers) -> None:
    if padded_dimension(clipped.values.size) != plan.padded:
        raise LocalError(Refusal.PLAN_DIMENSION, f"an update of {clipped.values.size} values does not fill the plan's {plan.padded}")
    if clipped.clip_norm != plan.clip_norm:
        raise LocalError(Refusal.PLAN_CLIP_NORM, f"an update clipped to {clipped.clip_norm}, the plan says {plan.clip_norm}")
