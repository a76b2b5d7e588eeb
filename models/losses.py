"""Losses by name: value, derivative, and what a target must look like. Each takes the raw outputs (logits) of a model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from hushfleet.errors import DataError, Refusal
from hushfleet.training import require_classes, require_targets

FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

PADDING = -1  # the label of a position that does not count, where a row has several


@dataclass(frozen=True, slots=True)
class Loss:
    """One loss over `outputs` (n, k).

    `value_and_slope(outputs, targets)` gives the mean loss and its derivative by `outputs` (n, k); `check(targets, k)` raises
    `DataError`; `made_up(n, k)` gives n targets that pass it; `answer(outputs)` turns outputs into predictions shaped like targets;
    `hits(outputs, targets)` says which predictions are right, or is None for a loss without right and wrong.
    """

    name: str
    check: Callable[[Array, int], None]
    made_up: Callable[[int, int], Array]
    value_and_slope: Callable[[FloatArray, Array], tuple[float, FloatArray]]
    answer: Callable[[FloatArray], Array]
    hits: Callable[[FloatArray, Array], npt.NDArray[np.bool_]] | None


def softmax_cross_entropy(outputs: FloatArray, targets: Array) -> tuple[float, FloatArray]:
    """Mean over rows of -log softmax(outputs)[target]; targets (n,) are whole numbers in [0, k)."""
    rows, labels = np.arange(len(outputs)), targets.astype(np.intp)
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    slope = np.exp(log_probabilities)
    slope[rows, labels] -= 1.0
    return -float(log_probabilities[rows, labels].mean()), slope / len(outputs)


def mean_squared_error(outputs: FloatArray, targets: Array) -> tuple[float, FloatArray]:
    """Mean over all elements of (output - target)^2; targets (n, k), or (n,) when k is 1."""
    difference = outputs - targets.reshape(outputs.shape)
    return float(np.square(difference).mean()), 2.0 * difference / difference.size


def huber(outputs: FloatArray, targets: Array) -> tuple[float, FloatArray]:
    """Mean over all elements of e^2 / 2 where |e| <= 1, else |e| - 1/2, e = output - target; targets as `mean_squared_error`."""
    difference = outputs - targets.reshape(outputs.shape)
    within = np.clip(difference, -1.0, 1.0)
    return float((within * (difference - within / 2)).mean()), within / difference.size


def binary_cross_entropy(outputs: FloatArray, targets: Array) -> tuple[float, FloatArray]:
    """Mean over all elements of -log P(target), P(1) = sigmoid(output); targets are 0 or 1, (n, k), or (n,) when k is 1."""
    wanted = targets.reshape(outputs.shape).astype(np.float64)
    # log(1 + e^x) - x t, written so that neither tail overflows
    losses = np.maximum(outputs, 0.0) - outputs * wanted + np.log1p(np.exp(-np.abs(outputs)))
    return float(losses.mean()), (_sigmoid(outputs) - wanted) / outputs.size


def _sigmoid(values: FloatArray) -> FloatArray:
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def _require_bits(targets: Array, width: int) -> None:
    require_targets(targets, width)
    good = ((targets == 0) | (targets == 1)).reshape(len(targets), -1).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(Refusal.DATA_LABEL, "a label is neither 0 nor 1", row=row, expected="0 or 1")


def _some_classes(rows: int, classes: int) -> Array:
    return np.arange(rows) % classes


def _some_values(rows: int, width: int) -> Array:
    return (np.arange(rows * width) % 2).reshape(rows, width)


def _largest(outputs: FloatArray) -> Array:
    return np.asarray(outputs.argmax(axis=1))


def _positive(outputs: FloatArray) -> Array:
    return (outputs > 0).astype(np.int64)


def _unchanged(outputs: FloatArray) -> Array:
    return outputs


def _class_hits(outputs: FloatArray, targets: Array) -> npt.NDArray[np.bool_]:
    return np.equal(_largest(outputs), targets)


def _bit_hits(outputs: FloatArray, targets: Array) -> npt.NDArray[np.bool_]:
    return np.equal(_positive(outputs), targets.reshape(outputs.shape))


def by_position(loss: Loss, shape: Sequence[int], axis: int) -> Loss:
    """The loss over classes of outputs (n, prod(shape)) whose rows hold several positions, with the classes on `axis`; the rows' is 0.

    Targets are (n, positions); a position labelled `PADDING` counts neither for the loss nor as right or wrong.
    """
    if len(shape) < 2 or loss.hits is not _class_hits:
        return loss
    split = _Positions(tuple(shape), axis)
    return Loss(loss.name, split.check, split.made_up, split.value_and_slope, split.answer, split.hits)


@dataclass(frozen=True, slots=True)
class _Positions:
    """Outputs of several positions a row, as rows of one position."""

    shape: tuple[int, ...]
    axis: int

    @property
    def classes(self) -> int:
        return self.shape[self.axis - 1]

    def made_up(self, rows: int, width: int) -> Array:
        positions = width // self.classes
        return (np.arange(rows * positions) % self.classes).reshape(rows, positions)

    def check(self, targets: Array, width: int) -> None:
        require_targets(targets, width // self.classes)
        labels = targets.reshape(len(targets), -1)
        good = ((labels >= PADDING) & (labels < self.classes) & (labels == np.floor(labels))).all(axis=1)
        if not good.all():
            row = int(np.argmin(good))
            what = f"is not a whole number from 0 to {self.classes - 1}, or {PADDING} for padding"
            raise DataError(Refusal.DATA_LABEL, f"a label {what}", row=row, expected=what.removeprefix("is not "))

    def value_and_slope(self, outputs: FloatArray, targets: Array) -> tuple[float, FloatArray]:
        labels = targets.reshape(-1)
        counted = labels != PADDING
        slope = np.zeros((len(labels), self.classes))
        loss = 0.0
        if counted.any():
            loss, slope[counted] = softmax_cross_entropy(self._rows(outputs)[counted], labels[counted])
        whole = np.moveaxis(slope.reshape(len(outputs), *self._others, self.classes), -1, self.axis)
        return loss, whole.reshape(outputs.shape)

    def answer(self, outputs: FloatArray) -> Array:
        return np.asarray(self._rows(outputs).argmax(axis=1).reshape(len(outputs), -1))

    def hits(self, outputs: FloatArray, targets: Array) -> npt.NDArray[np.bool_]:
        labels = targets.reshape(-1)
        return np.asarray(np.equal(self.answer(outputs).reshape(-1), labels)[labels != PADDING])

    @property
    def _others(self) -> tuple[int, ...]:
        return (*self.shape[: self.axis - 1], *self.shape[self.axis :])

    def _rows(self, outputs: FloatArray) -> FloatArray:
        return np.moveaxis(outputs.reshape(len(outputs), *self.shape), self.axis, -1).reshape(-1, self.classes)


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        loss.name: loss
        for loss in (
            Loss("softmax-cross-entropy", require_classes, _some_classes, softmax_cross_entropy, _largest, _class_hits),
            Loss("mse", require_targets, _some_values, mean_squared_error, _unchanged, None),
            Loss("huber", require_targets, _some_values, huber, _unchanged, None),
            Loss("binary-cross-entropy", _require_bits, _some_values, binary_cross_entropy, _positive, _bit_hits),
        )
    }
)
