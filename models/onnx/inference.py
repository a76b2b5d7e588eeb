"""Predictions of an ordinary inference file: one input of rows, the first output as the loss has it."""

import math

import numpy as np

from hushfleet.errors import DataError, LocalError, Refusal
from models.losses import LOSSES, Array
from models.onnx.runtime import open_session

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
}
_ROWS_AT_ONCE = 256  # to bound the memory


class InferenceModel:
    """An inference file that is ready to run. onnxruntime is loaded here. `loss` says what its outputs mean; unknown: raw outputs."""

    def __init__(self, content: bytes, loss: str, *, threads: int = 1) -> None:
        self._session, self._loss = open_session(content, threads), LOSSES.get(loss)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in _TYPES:
            message = "this model does not take one table of numbers"
            raise LocalError(Refusal.MODEL_UNSUPPORTED, message, next_step="Export it, and run it with onnxruntime.")
        self._input = inputs[0]

    def predict(self, rows: Array) -> Array:
        """Class numbers (n,) where the loss is over classes, else what the file gives: values, scores or probabilities (n, ...).

        `DataError(DATA_SHAPE)` for rows that the file does not take.
        """
        shape = tuple(size for size in self._input.shape[1:] if isinstance(size, int))
        known = len(shape) == len(self._input.shape) - 1
        if known and math.prod(rows.shape[1:]) != math.prod(shape):
            text = f"rows of {math.prod(rows.shape[1:])} numbers, the model takes {math.prod(shape)}"
            raise DataError(Refusal.DATA_SHAPE, text, next_step="Give the columns that the model was trained on, in their order.")
        fed = rows.astype(_TYPES[self._input.type])
        fed = fed.reshape(len(rows), *shape) if known else fed
        parts = [self._run(fed[begin : begin + _ROWS_AT_ONCE]) for begin in range(0, len(fed), _ROWS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.empty((0,))

    def _run(self, rows: Array) -> Array:
        outputs = self._session.run(None, {self._input.name: rows})[0]
        if self._loss is None or outputs.ndim != 2 or self._loss.name != "softmax-cross-entropy":
            return outputs
        return self._loss.answer(outputs)
