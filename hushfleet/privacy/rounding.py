"""Second stage: floats become integers, and integers decide (PROTOCOL 6).

Everything before the check `sum(y^2) <= B2` may be as inexact as it likes: no input, however odd, gets a longer vector past it.
"""

import numpy as np
import numpy.typing as npt

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.blocks import MAX_DIMENSION
from hushfleet.privacy.integer_rules import LARGEST_BOUND
from hushfleet.randomness import Randomness


def round_within(scaled: npt.NDArray[np.float64], *, bound: int, b2: int, randomness: Randomness) -> npt.NDArray[np.int64]:
    """Stochastically rounded `scaled` (d',): int64 (d',) with |y_i| <= `bound` and sum(y_i^2) <= `b2`.

    One attempt: if the norm is too large, the result is the zero vector. A number of attempts that follows the update could be read
    from the clock. A plan's B2 lets a clipped update pass with probability at least 1 - 2^-10 (see `plan_integers.derive`).
    `LocalError`: `UPDATE_NOT_FINITE`, `UPDATE_SHAPE`, and `VALUE_OUT_OF_SLOT` for a `bound` outside 1..2^18 - 1.
    """
    _check(scaled, bound)
    lower = np.floor(scaled)
    fraction = scaled - lower
    rounded: npt.NDArray[np.int64] = np.clip(lower + _ones(fraction, randomness), -bound, bound).astype(np.int64)
    return rounded * np.int64(int(np.dot(rounded, rounded)) <= b2)


def _ones(probability: npt.NDArray[np.float64], randomness: Randomness) -> npt.NDArray[np.bool_]:
    """Independent bits (n,), each 1 with its `probability` (n,) in [0, 1], up to 2^-64.

    A uniform number of 80 bits is compared; the 64 low bits are read only where the 16 high ones are equal.
    """
    threshold = probability * 65_536.0
    leading = np.floor(threshold)
    drawn = np.frombuffer(randomness.octets(2 * probability.size), dtype="<u2")
    ones = drawn < leading
    ties = np.flatnonzero(drawn == leading)
    further = np.frombuffer(randomness.octets(8 * ties.size), dtype="<u8")
    ones[ties] = further * 2.0**-64 < threshold[ties] - leading[ties]
    return ones


def _check(scaled: npt.NDArray[np.float64], bound: int) -> None:
    if scaled.ndim != 1 or not 1 <= scaled.size <= MAX_DIMENSION:
        raise LocalError(Refusal.UPDATE_SHAPE, f"a vector of shape {scaled.shape}; one axis is expected")
    if not 1 <= bound <= LARGEST_BOUND:
        raise LocalError(Refusal.VALUE_OUT_OF_SLOT, f"a clamp of +-{bound}; from 1 to {LARGEST_BOUND} is possible")
    if not np.isfinite(scaled).all():
        raise LocalError(Refusal.UPDATE_NOT_FINITE, "the vector to round holds NaN or infinity")
