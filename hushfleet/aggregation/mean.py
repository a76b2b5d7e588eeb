"""From the opened integer sum to the mean update of a round (PROTOCOL 5.5)."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.privacy.integer_rules import slot_limit
from hushfleet.privacy.rotation import unrotate

FloatVector = npt.NDArray[np.float64]
IntVector = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class AggregateUpdate:
    """The mean update `(d,)` of `count` devices, noise included; all that a round reveals. Read-only.

    Raises `PeerError(MODEL_NOT_FINITE)`, `LocalError(SETTINGS_INVALID)` for a count below 1 or no vector.
    """

    mean: FloatVector
    count: int

    def __post_init__(self) -> None:
        own = np.array(self.mean, dtype=np.float64)
        if own.ndim != 1 or self.count < 1:
            raise LocalError(Refusal.SETTINGS_INVALID, f"{own.ndim} axes and a count of {self.count} make no mean update")
        if not np.all(np.isfinite(own)):
            raise PeerError(Refusal.MODEL_NOT_FINITE, "the mean update is not finite")
        own.flags.writeable = False
        object.__setattr__(self, "mean", own)


def mean_update(
    total: IntVector, *, plan_hash: bytes, dimension: int, scale: float, count: int, slot_bits: int, keep_one_in: int = 1
) -> AggregateUpdate:
    """The mean of `count` updates from their checked sum, int64 `(d' / keep_one_in,)`: un-rotated, cut to `dimension`, over scale * count.

    The same bits on every machine: the integers are exact in float64, then one multiplication and one division round.
    Raises `PeerError(VALUE_OUT_OF_SLOT)` for a coordinate that no honest sum has (a balanced digit reaches one further down than
    up), `LocalError(SETTINGS_INVALID)` unless scale * count is finite and positive, and the errors of `unrotate`.
    """
    divisor, limit = float(scale) * count, slot_limit(slot_bits)
    if count < 1 or not (math.isfinite(divisor) and divisor > 0):
        raise LocalError(Refusal.SETTINGS_INVALID, f"a scale of {scale} and a count of {count} give no mean")
    if total.size and (total.min() < -limit or total.max() > limit):
        raise PeerError(Refusal.VALUE_OUT_OF_SLOT, f"a coordinate of the sum lies beyond +-{limit}")
    with np.errstate(over="ignore"):
        return AggregateUpdate(unrotate(total, plan_hash, dimension, keep_one_in=keep_one_in) / divisor, count)
