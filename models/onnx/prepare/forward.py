"""The forward pass of what was prepared, beside the original file's: the same outputs, and the loss of the same logits."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hushfleet.errors import LocalError, Refusal
from models.onnx.prepare.graph import Array, attribute
from models.onnx.prepare.half import is_half
from models.onnx.prepare.model import session
from models.onnx.prepare.probe import sample
from models.onnx.prepare.reading import as_it_is
from models.onnx.prepare.simplify import as_inference
from models.onnx.prepare.source import Source
from models.onnx.trainable import TrainableModel
from models.onnx.trainer import OnnxTrainer

CLOSE, HALF_CLOSE, LOSS_CLOSE = 1e-5, 2e-2, 1e-4


def check_forward(path: Path, source: Source, trainable: TrainableModel) -> float:
    """The largest difference of outputs from those of the file at `path`, relative to their largest value.

    `LocalError(MODEL_GRADIENT)` if it is above 1e-5, for half precision 2e-2, or if `train.onnx` does not give the loss of the logits.
    """
    original = as_it_is(path)
    allowed = HALF_CLOSE if is_half(original.graph) else CLOSE
    as_inference(original.graph.node)
    theirs = session(original)
    rows = next((int(value.shape[0]) for value in theirs.get_inputs() if value.shape and isinstance(value.shape[0], int)), 5)
    fed = sample(source.graph, rows, source.ranges, seed=3)
    ours = session(trainable.infer)
    names = [one.name for one in ours.get_outputs() if one.name in {out.name for out in theirs.get_outputs()} and "float" in one.type]
    if not names:
        return 0.0
    wanted = theirs.run(names, {value.name: _theirs(value.name, value.type, source, fed) for value in theirs.get_inputs()})
    found = ours.run(names, {value.name: fed[value.name] for value in ours.get_inputs()})
    worst = max(_difference(a, b) for a, b in zip(found, wanted, strict=True))
    if not worst <= allowed:
        raise _differs(f"outputs differ from those of {path} by {worst:.1e} of their largest value, at most {allowed:.0e} allowed")
    return worst


def check_loss(trainable: TrainableModel, parameters: Array, fed: Mapping[str, Array], found: float) -> None:
    """`LocalError(MODEL_GRADIENT)` unless the loss `found` is that of `infer.onnx`'s logits at `parameters` (d,), worked out in numpy."""
    trainer, manifest = OnnxTrainer(trainable), trainable.manifest
    flat = [fed[one.name].reshape(len(fed[one.name]), -1) for one in manifest.features]
    features = np.concatenate(flat, axis=1) if len(flat) > 1 else fed[manifest.features[0].name]
    targets = fed[manifest.targets.name]
    targets = targets.reshape(len(targets), -1) if targets.ndim > 1 else targets
    wanted, _ = trainer.loss.value_and_slope(trainer.outputs(parameters.astype(np.float64), features), targets)
    if manifest.weights is None and not abs(found - wanted) <= LOSS_CLOSE * (abs(wanted) + 1e-3):
        raise _differs(f"the training graph gives a loss of {found:.6g}, the file's own outputs one of {wanted:.6g}")


def _theirs(name: str, kind: str, source: Source, fed: dict[str, Array]) -> Array:
    """An input as the original file takes it: its rows where they were, its precision, the number that stands for it."""
    dtype = np.float16 if kind == "tensor(float16)" else None
    if name not in fed:
        return source.filled[name].astype(dtype) if dtype else source.filled[name]
    value = fed[name].astype(dtype) if dtype else fed[name]
    turn = next((node for node in source.graph.nodes if node.name == f"{name}/turned"), None)
    return np.ascontiguousarray(value.transpose(attribute(turn, "perm"))) if turn is not None else value


def _difference(found: Array, wanted: Array) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    both = np.isfinite(wanted)
    largest = float(np.abs(wanted[both]).max(initial=0.0)) or 1.0
    return float(np.abs(found[both].astype(np.float64) - wanted[both]).max(initial=0.0)) / largest


def _differs(message: str) -> LocalError:
    return LocalError(Refusal.MODEL_GRADIENT, message, next_step="This is a fault of the tool: please report it with the file.")
