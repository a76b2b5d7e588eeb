"""The bound on the norm of an opened sum, checked before anybody sees the sum (PROTOCOL 5.5)."""

import math

import numpy as np
import numpy.typing as npt

from hushfleet.errors import LocalError, PeerError, Refusal

IntVector = npt.NDArray[np.int64]

_FRACTION_BITS = 64


def check_norm(total: IntVector, *, count: int, b2: int, variance: int) -> None:
    """Refuse a sum that `count` honest contributions cannot have made, int64 `(d',)` with the padded dimension d'.

    Its L2 norm must not exceed k sqrt(B2) + 1.1 sqrt(k V d') + 12 sqrt(k V): k clipped vectors, the expected norm of their
    noise with a tenth to spare, and twelve standard deviations. Plans without privacy have V = 0. Decided in integers,
    so every machine decides alike; the bound is rounded up by less than 2^-60.

    Raises `PeerError(RELEASE_NORM)`, which cannot say whose contribution was wrong, and `LocalError(SETTINGS_INVALID)` for
    figures no plan has.
    """
    if count < 1 or b2 < 1 or variance < 0:
        raise LocalError(Refusal.SETTINGS_INVALID, f"no plan has count {count}, B2 {b2} and variance {variance}")
    squared = sum(value * value for value in total.tolist())
    noise = count * variance
    tenths = 10 * count * _root(b2) + 11 * _root(noise * total.size) + 120 * _root(noise)
    if (100 * squared) << (2 * _FRACTION_BITS) > tenths * tenths:
        allowed = tenths / (10 << _FRACTION_BITS)
        raise PeerError(Refusal.RELEASE_NORM, f"the sum has norm {math.sqrt(squared):.6g}, {count} contributions allow {allowed:.6g}")


def _root(value: int) -> int:
    """Sqrt of a non-negative integer in units of 2^-64, rounded up."""
    return math.isqrt((value << (2 * _FRACTION_BITS)) - 1) + 1 if value else 0
