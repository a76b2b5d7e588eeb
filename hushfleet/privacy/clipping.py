"""First stage: bound the L2 norm of what a device learned (PROTOCOL 6)."""

import math
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from hushfleet.errors import LocalError, Refusal

_SLACK = 1.0 - 2.0**-20
"""Keeps the norm below C after the rounding errors of float64 in the clip and in the rotation."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ClippedVector:
    """An update of bounded norm: `values` (d,) float64, finite, L2 norm <= `clip_norm`. As secret as the update itself.

    Made by `clip` and `ClippedVector.zero` alone. The array becomes read-only.
    `LocalError`: `PLAN_CLIP_NORM`, `UPDATE_SHAPE`, `UPDATE_NOT_FINITE`, `UPDATE_NORM` if the norm exceeds the bound.
    """

    values: npt.NDArray[np.float64]
    clip_norm: float

    def __post_init__(self) -> None:
        _check_clip_norm(self.clip_norm)
        _check_vector(self.values)
        unit, peak = _peak_and_unit(self.values)
        if peak and _length(unit) > self.clip_norm / peak:
            raise LocalError(Refusal.UPDATE_NORM, "a vector exceeds the clip norm it claims to obey")
        self.values.flags.writeable = False

    def __repr__(self) -> str:
        return f"ClippedVector(<{self.values.size} values>, clip_norm={self.clip_norm})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a clipped update does not leave the process")

    @classmethod
    def zero(cls, dimension: int, clip_norm: float) -> "ClippedVector":
        """The contribution of a device that has nothing usable: (d,) zeros."""
        return cls(np.zeros(dimension), clip_norm)


def clip(update: npt.NDArray[np.float64], clip_norm: float) -> ClippedVector:
    """Shorten `update` (d,) float64 to L2 norm `clip_norm` * (1 - 2^-20) if it is longer; the input is left untouched.

    | input | outcome |
    |---|---|
    | norm <= C (1 - 2^-20), zero included | a copy |
    | longer, also where the squares or the norm itself leave float64 | the same direction, norm C (1 - 2^-20) |
    | subnormal values | a copy, or scaled like any other |
    | C so small (below 1e-300) that no float64 vector of norm C points the same way | possibly `LocalError`, `UPDATE_NORM` |
    | NaN or infinity anywhere | `LocalError`, `UPDATE_NOT_FINITE`: the caller goes on with `ClippedVector.zero` |
    | empty, not one axis, not float64 | `LocalError`, `UPDATE_SHAPE` |
    | C not finite or not above 0 | `LocalError`, `PLAN_CLIP_NORM` |
    """
    _check_clip_norm(clip_norm)
    _check_vector(update)
    with np.errstate(all="ignore"):  # an application that raises on underflow must not make participation depend on data
        unit, peak = _peak_and_unit(update)
        target = clip_norm * _SLACK
        length = _length(unit)
        if not peak or length <= target / peak:
            return ClippedVector(update.copy(), clip_norm)
        return ClippedVector(unit * (target / length), clip_norm)


def _peak_and_unit(vector: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """The vector divided by its largest magnitude, and that magnitude: squares of the former neither overflow nor vanish."""
    peak = float(max(vector.max(), -vector.min()))
    return (vector / peak if peak else vector), peak


def _length(unit: npt.NDArray[np.float64]) -> float:
    return math.sqrt(float(np.dot(unit, unit)))


def _check_clip_norm(clip_norm: float) -> None:
    if not (math.isfinite(clip_norm) and clip_norm > 0):
        raise LocalError(Refusal.PLAN_CLIP_NORM, f"a clip norm of {clip_norm}; a finite number above 0 is expected")


def _check_vector(vector: npt.NDArray[np.float64]) -> None:
    if vector.ndim != 1 or not vector.size or vector.dtype != np.float64:
        raise LocalError(Refusal.UPDATE_SHAPE, f"an update of shape {vector.shape}, {vector.dtype}; float64 (d,) is expected")
    if not np.isfinite(vector).all():
        raise LocalError(Refusal.UPDATE_NOT_FINITE, "the update holds NaN or infinity")
