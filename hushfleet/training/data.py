"""A device's training data in memory, and the checks that name the first bad row."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hushfleet.errors import DataError, Refusal

Array = npt.NDArray[Any]

_ROWS_AT_ONCE = 4096  # rows in a file that is larger than memory are looked at in parts


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Data:
    """`features` (n, ...) and `targets` (n,) or (n, k): n >= 1 rows of finite numbers, as read-only views; the type is kept.

    Raises `DataError`: `DATA_EMPTY`, `DATA_SHAPE` (not numbers, no rows axis, unequal row counts), `DATA_NOT_FINITE` with
    the row. A device builds it inside the step that may fail, never before it accepts a plan on account of the outcome.
    """

    features: Array
    targets: Array

    def __post_init__(self) -> None:
        features, targets = _rows("features", self.features), _rows("targets", self.targets)
        if targets.ndim > 2:
            raise DataError(Refusal.DATA_SHAPE, f"targets are (rows,) or (rows, values), not {targets.shape}")
        if len(features) != len(targets):
            row = min(len(features), len(targets))
            raise DataError(Refusal.DATA_SHAPE, f"{len(features)} rows of features, {len(targets)} of targets", row=row)
        if len(features) == 0:
            raise DataError(Refusal.DATA_EMPTY, "no rows to train on")
        _require_finite("features", features)
        _require_finite("targets", targets)
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "targets", targets)

    def __len__(self) -> int:
        return len(self.features)

    def __repr__(self) -> str:
        return "Data(private)"


def require_features(features: Array, shape: tuple[int, ...]) -> None:
    """`DataError(DATA_SHAPE)` unless `features` is (n, *shape)."""
    if features.shape[1:] != shape:
        raise DataError(Refusal.DATA_SHAPE, f"a row of features has shape {features.shape[1:]}, the model takes {shape}", row=0)


def require_targets(targets: Array, width: int) -> None:
    """`DataError(DATA_SHAPE)` unless `targets` is (n, width), or (n,) with `width` 1."""
    if targets.shape[1:] != (width,) and not (targets.ndim == 1 and width == 1):
        raise DataError(Refusal.DATA_SHAPE, f"a row of targets has shape {targets.shape[1:]}, the model gives ({width},)", row=0)


def require_classes(targets: Array, classes: int) -> None:
    """`DataError` unless `targets` is (n,), else `DATA_SHAPE`, and whole numbers in [0, classes), else `DATA_LABEL` and the row."""
    if targets.ndim != 1:
        raise DataError(Refusal.DATA_SHAPE, f"class labels are (rows,), not {targets.shape}", row=0)
    good = (targets >= 0) & (targets < classes) & (targets == np.floor(targets))
    if not good.all():
        row, expected = int(np.argmin(good)), f"a whole number from 0 to {classes - 1}"
        next_step = "Classes count from 0; a data contract maps other values to them (docs/operations.md)."
        raise DataError(Refusal.DATA_LABEL, f"a label is not {expected}", row=row, expected=expected, next_step=next_step)


def _rows(what: str, values: Array) -> Array:
    array = np.asarray(values).view()
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        raise DataError(Refusal.DATA_SHAPE, f"{what} must be rows of numbers, not {array.dtype} of shape {array.shape}")
    array.setflags(write=False)
    return array


def _require_finite(what: str, values: Array) -> None:
    for begin in range(0, len(values), _ROWS_AT_ONCE):
        part = values[begin : begin + _ROWS_AT_ONCE]
        good = np.isfinite(part).reshape(len(part), -1).all(axis=1)
        if not good.all():
            row = begin + int(np.argmin(good))
            raise DataError(Refusal.DATA_NOT_FINITE, f"the {what} hold a value that is not a finite number", row=row)
