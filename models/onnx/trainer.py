"""The trainer of a trainable model: gradients from its `train.onnx` through plain onnxruntime, everything else in numpy."""

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hushfleet.errors import DataError, LocalError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.training import Architecture, GlobalModel
from models.losses import LOSSES, Array, FloatArray, Loss, by_position
from models.onnx.manifest import Tensor
from models.onnx.runtime import GraphSession, open_session
from models.onnx.trainable import TrainableModel

_ROWS_AT_ONCE = 256  # of a prediction, to bound its memory
_TINY = 1e-30  # a probability that has underflowed


class OnnxTrainer:
    """A trainer and model of the catalogue. One session for training, opened at the first gradient and no earlier.

    The caller asks for a gradient only under a plan whose architecture hash the owner allows: until then no graph is loaded.
    Features are (n, *shape) as the file's input has it, or (n, values) in one row; several inputs stand one after the other
    in such rows.
    """

    def __init__(self, trainable: TrainableModel, *, threads: int = 1) -> None:
        self.architecture: Architecture = trainable.architecture
        if trainable.manifest.loss not in LOSSES:
            raise LocalError(Refusal.MODEL_DAMAGED, f"{trainable.manifest.name}: this version knows no loss {trainable.manifest.loss!r}")
        logits = trainable.manifest.logits
        self.loss: Loss = by_position(LOSSES[trainable.manifest.loss], logits.shape, logits.axis)
        self._trainable, self._manifest, self._threads = trainable, trainable.manifest, threads

    def check(self, features: Array, targets: Array) -> None:
        """Raise `DataError` naming the first row that the graph cannot take: `DATA_SHAPE`, `DATA_VALUE`, `DATA_LABEL`."""
        for tensor, values in self._parts(features).items():
            _require_values(tensor, values)
        self.loss.check(self._flat(targets), math.prod(self._manifest.logits.shape))

    def made_up(self, rows: int) -> tuple[Array, Array]:
        """Rows of the graph's inputs, with values that each of them takes, and targets of its loss."""
        parts = [_made_up(tensor, rows) for tensor in self._manifest.features]
        features = parts[0] if len(parts) == 1 else np.concatenate([part.reshape(rows, -1) for part in parts], axis=1)
        return features, self.loss.made_up(rows, math.prod(self._manifest.logits.shape))

    def gradient(self, parameters: FloatArray, features: Array, targets: Array) -> tuple[float, FloatArray]:
        """Mean loss of the batch and its gradient (d,), computed in float32."""
        manifest = self._manifest
        weights = self.architecture.split(parameters.astype(np.float32))
        feeds = {one.input: weights[one.name] for one in manifest.parameters} | self._feeds(features)
        feeds[manifest.targets.name] = _fed(manifest.targets, targets)
        if manifest.weights is not None:
            feeds[manifest.weights.name] = np.ones((len(features), *manifest.weights.shape), manifest.weights.dtype)
        wanted = [manifest.loss_output, *(one.gradient for one in manifest.parameters)]
        loss, *gradients = self._session.run(wanted, feeds)
        return float(loss), np.concatenate([one.reshape(-1) for one in gradients]).astype(np.float64)

    def outputs(self, parameters: FloatArray, features: Array) -> FloatArray:
        """The values that the loss takes (n, k), from the inference file: a softmax or sigmoid at its end is taken back."""
        manifest = self._manifest
        session = open_session(self._trainable.inference_file(parameters.astype(np.float32)), self._threads)
        parts = []
        for begin in range(0, len(features), _ROWS_AT_ONCE):
            rows = features[begin : begin + _ROWS_AT_ONCE]
            (values,) = session.run([manifest.logits.output], self._feeds(rows))
            parts.append(_without_activation(values.reshape(len(rows), -1).astype(np.float64), manifest.logits.activation))
        return np.concatenate(parts)

    def inference_file(self, parameters: npt.NDArray[np.float32]) -> bytes:
        """The ONNX file with these values (d,)."""
        return self._trainable.inference_file(parameters)

    def initial(self, randomness: Randomness) -> GlobalModel:  # noqa: ARG002 -- every family starts through one signature
        """The values of the original file."""
        return GlobalModel(0, self._trainable.initial)

    @cached_property
    def _session(self) -> GraphSession:
        return open_session(self._trainable.train, self._threads)

    def _feeds(self, features: Array) -> dict[str, Array]:
        return {tensor.name: _fed(tensor, values) for tensor, values in self._parts(features).items()}

    def _parts(self, features: Array) -> Mapping[Tensor, Array]:
        """The part of `features` for each input, (n, *shape)."""
        inputs = self._manifest.features
        if len(inputs) == 1 and features.shape[1:] == inputs[0].shape:
            return {inputs[0]: features}
        sizes = [math.prod(tensor.shape) for tensor in inputs]
        if features.shape[1:] != (sum(sizes),):
            shapes = " and ".join(str(tensor.shape) for tensor in inputs)
            message = f"a row of features has shape {features.shape[1:]}, the model takes {shapes}, or {sum(sizes)} values in a row"
            raise DataError(Refusal.DATA_SHAPE, message, row=0)
        cuts = np.cumsum(sizes)[:-1]
        parts = np.split(features, cuts, axis=1)
        return {tensor: part.reshape(len(features), *tensor.shape) for tensor, part in zip(inputs, parts, strict=True)}

    def _flat(self, targets: Array) -> Array:
        return targets.reshape(len(targets), -1) if targets.ndim > 1 else targets


def _made_up(tensor: Tensor, rows: int) -> Array:
    """Values (rows, *shape) between those that the input takes, not all alike."""
    low = tensor.low if tensor.low is not None else 0.0
    high = tensor.high if tensor.high is not None else max(low, 1.0)
    spread = np.linspace(low, high, rows * math.prod(tensor.shape)).reshape(rows, *tensor.shape)
    return np.floor(spread) if np.dtype(tensor.dtype).kind == "i" else spread


def _fed(tensor: Tensor, values: Array) -> Array:
    return np.ascontiguousarray(values.reshape(len(values), *tensor.shape), dtype=tensor.dtype)


def _require_values(tensor: Tensor, values: Array) -> None:
    """Whole numbers where the input takes them, within its range, and within its type."""
    kind = np.dtype(tensor.dtype).kind
    with np.errstate(over="ignore"):
        good = values == np.floor(values) if kind == "i" else np.isfinite(values.astype(tensor.dtype))
    if tensor.low is not None:
        good &= values >= tensor.low
    if tensor.high is not None:
        good &= values <= tensor.high
    rows = good.reshape(len(values), -1).all(axis=1)
    if not rows.all():
        row = int(np.argmin(rows))
        raise DataError(Refusal.DATA_VALUE, f"a value that {_described(tensor)} does not take", row=row, expected=_described(tensor))


def _described(tensor: Tensor) -> str:
    what = "whole numbers" if np.dtype(tensor.dtype).kind == "i" else f"numbers of type {tensor.dtype}"
    low, high = "any" if tensor.low is None else f"{tensor.low:g}", "any" if tensor.high is None else f"{tensor.high:g}"
    return f"input {tensor.name!r} ({what} from {low} to {high})"


def _without_activation(values: FloatArray, activation: str) -> npt.NDArray[np.float64]:
    """Values whose softmax or sigmoid `values` are; a constant per row that softmax does not see is lost."""
    if activation == "softmax":
        return np.log(np.maximum(values, _TINY))
    if activation == "sigmoid":
        return np.log(np.maximum(values, _TINY)) - np.log(np.maximum(1.0 - values, _TINY))
    return values
