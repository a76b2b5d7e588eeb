"""The loss takes logits, whatever makes probabilities of them; where none are found, a file is refused and not trained wrongly."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto

from models.losses import LOSSES
from models.onnx.prepare import prepare
from models.onnx.trainable import TrainableModel
from models.onnx.trainer import OnnxTrainer
from tests.support.onnx_files import ROWS, model, node, refusal, saved, tensors, value

CE, BCE = "softmax-cross-entropy", "binary-cross-entropy"
X = np.random.default_rng(2).standard_normal((12, 4)).astype(np.float32)


def net(width: int, tail: list, stored: dict | None = None, *, hidden: int = 5) -> ModelProto:
    """x (rows, 4) -> `z` (rows, width), then the tail, whose last output is `p`."""
    nodes = [node("Gemm", "x w b", "h"), node("Tanh", "h", "a"), node("Gemm", "a v c", "z"), *tail]
    weights = tensors(w=(4, hidden), b=(hidden,), v=(hidden, width)) | {"c": np.zeros(width, np.float32)}
    return model(nodes, [value("x", ROWS, 4)], [value("p" if tail else "z", ROWS, width)], weights | (stored or {}))


def number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


ARITHMETIC = [
    node("ReduceMax", "z axis", "m"),
    node("Sub", "z m", "s"),
    node("Exp", "s", "e"),
    node("ReduceSum", "e axis", "t"),
    node("Div", "e t", "p"),
]
FOUND = {
    "identity": (CE, 3, [node("Softmax", "z", "q"), node("Identity", "q", "p")], {}),
    "reshape": (CE, 3, [node("Softmax", "z", "q"), node("Reshape", "q to", "p")], {"to": np.array([-1, 3])}),
    "clip": (CE, 3, [node("Softmax", "z", "q"), node("Clip", "q low high", "p")], {"low": number(1e-7), "high": number(1 - 1e-7)}),
    "arithmetic": (CE, 3, ARITHMETIC, {"axis": np.array([1])}),
    "logarithm": (CE, 3, [node("Softmax", "z", "q"), node("Log", "q", "p")], {}),
    "sigmoid": (BCE, 2, [node("Sigmoid", "z", "p")], {}),
    "squeezed": (BCE, 1, [node("Sigmoid", "z", "q"), node("Squeeze", "q axis", "p")], {"axis": np.array([1])}),
    "reshaped": (BCE, 1, [node("Sigmoid", "z", "q"), node("Reshape", "q to", "p")], {"to": np.array([-1])}),
}


def declared(file: ModelProto, *shape: int | str) -> ModelProto:
    file.graph.output[0].CopyFrom(value("p", *shape))
    return file


def loss_of(trainable: TrainableModel, targets: np.ndarray) -> float:
    trainer = OnnxTrainer(trainable)
    return trainer.gradient(trainable.initial.astype(np.float64), X, targets)[0]


def logits_of(file: ModelProto) -> np.ndarray:
    """`z` by plain onnxruntime."""
    file.graph.output[0].CopyFrom(value("z", ROWS, None))
    return onnxruntime.InferenceSession(file.SerializeToString()).run(["z"], {"x": X})[0].astype(np.float64)


@pytest.mark.parametrize("name", FOUND)
def test_the_loss_is_that_of_the_logits_before_the_probabilities(tmp_path: Path, name: str):
    loss, width, tail, stored = FOUND[name]
    file = net(width, tail, stored)
    if name in {"squeezed", "reshaped"}:
        declared(file, ROWS)
    trainable = prepare(saved(tmp_path, file), loss=loss)
    targets = np.arange(12) % 3 if loss == CE else np.arange(12 * width).reshape(12, width) % 2
    assert loss_of(trainable, targets) == pytest.approx(LOSSES[loss].value_and_slope(logits_of(file), targets)[0], rel=1e-5)


def two_columns() -> ModelProto:
    """1 - p beside p, as scikit-learn's binary classifiers leave a file."""
    tail = [node("Sigmoid", "z", "q"), node("Sub", "one q", "r"), node("Concat", "r q", "p", axis=1)]
    return declared(net(1, tail, {"one": number(1)}), ROWS, 2)


@pytest.mark.parametrize("loss", [CE, BCE])
def test_one_sigmoid_spread_over_two_columns_trains_either_way(tmp_path: Path, loss: str):
    trainable = prepare(saved(tmp_path, two_columns()), loss=loss)
    targets = np.arange(12) % 2
    z = logits_of(two_columns())
    wanted = LOSSES[BCE].value_and_slope(z, targets)[0]
    assert loss_of(trainable, targets) == pytest.approx(wanted, rel=1e-5)
    outputs = OnnxTrainer(trainable).outputs(trainable.initial.astype(np.float64), X)
    assert (OnnxTrainer(trainable).loss.answer(outputs).reshape(-1) == (z[:, 0] > 0)).all()


@pytest.mark.parametrize(
    ("file", "loss", "step"),
    [
        (net(3, [node("Softmax", "z", "p")]), BCE, "--loss softmax-cross-entropy"),
        (net(2, [node("Sigmoid", "z", "p")]), CE, "--loss binary-cross-entropy"),
        (net(3, [node("Softmax", "z", "q"), node("Log", "q", "p")]), BCE, "--loss softmax-cross-entropy"),
        (net(3, [node("Sigmoid", "z", "q"), node("LpNormalization", "q", "p", p=1, axis=1)]), CE, "--logits NAME"),
        (net(3, [node("HardSigmoid", "z", "p")]), BCE, "--yes-these-are-logits"),
        (net(3, [node("Sigmoid", "z", "q"), node("Log", "q", "p")]), BCE, "--logits NAME"),
    ],
    ids=["softmax and bits", "sigmoids and classes", "log-softmax and bits", "normalised", "hard", "log-sigmoid"],
)
def test_probabilities_without_logits_are_refused_with_what_to_do(tmp_path: Path, file: ModelProto, loss: str, step: str):
    assert step in refusal(tmp_path, file, loss).next_step
    assert prepare(tmp_path / "net.onnx", loss=loss, yes_these_are_logits=True).manifest.logits.activation == "none"


def test_a_named_inner_value_is_taken(tmp_path: Path):
    file = net(3, [node("Softmax", "z", "p")])
    assert prepare(saved(tmp_path, file), loss=BCE, logits="z").manifest.logits.output == "z"


@pytest.mark.parametrize("tail", [[], [node("Relu", "z", "p")], [node("Tanh", "z", "p")]], ids=["plain", "relu", "tanh"])
def test_logits_that_are_small_or_bounded_are_no_probabilities(tmp_path: Path, tail: list):
    assert prepare(saved(tmp_path, net(3, tail)), loss=CE).manifest.logits.activation == "none"


def steps(tail: list) -> ModelProto:
    """x (rows, 4) seen as (rows, 2, 2): channels, positions."""
    nodes = [node("Reshape", "x to", "r"), node("Conv", "r w b", "z"), *tail]
    stored = tensors(w=(3, 2, 1), b=(3,)) | {"to": np.array([-1, 2, 2])}
    return model(nodes, [value("x", ROWS, 4)], [value("p" if tail else "z", ROWS, 3, 2)], stored)


def test_the_class_axis_is_that_of_the_softmax_or_as_it_is_named(tmp_path: Path):
    found = prepare(saved(tmp_path, steps([node("Softmax", "z", "p", axis=1)])), loss=CE)
    named = prepare(saved(tmp_path, steps([])), loss=CE, class_axis=1)
    targets = np.stack([np.arange(12) % 3, np.full(12, -1)], axis=1)
    targets[:3, 1] = 2
    assert (found.manifest.targets.shape, found.manifest.targets.low, found.manifest.targets.high) == ((2,), -1, 2)
    assert loss_of(found, targets) == pytest.approx(loss_of(named, targets), rel=1e-6)
    trainer = OnnxTrainer(named)
    outputs = trainer.outputs(named.initial.astype(np.float64), X)
    assert loss_of(named, targets) == pytest.approx(trainer.loss.value_and_slope(outputs, targets)[0], rel=1e-5)
    z = outputs.reshape(12, 3, 2)
    wanted = np.concatenate([z[:, :, 0], z[:3, :, 1]])
    assert loss_of(named, targets) == pytest.approx(LOSSES[CE].value_and_slope(wanted, np.r_[np.arange(12) % 3, [2, 2, 2]])[0], rel=1e-5)
    assert trainer.loss.hits(outputs, targets).shape == (15,)


def test_a_picture_of_logits_needs_its_class_axis_named(tmp_path: Path):
    file = model([node("Conv", "x w", "z")], [value("x", ROWS, 2, 4, 4)], [value("z", ROWS, 3, 4, 4)], tensors(w=(3, 2, 1, 1)))
    assert "--class-axis" in refusal(tmp_path, file, CE).next_step
    assert prepare(tmp_path / "net.onnx", loss=CE, class_axis=1).manifest.targets.shape == (4, 4)
    assert "axes 0 (rows) to 3" in refusal(tmp_path, file, CE, class_axis=4).message


def test_the_only_axis_with_several_values_holds_the_classes(tmp_path: Path):
    nodes = [node("Conv", "x w", "h"), node("GlobalAveragePool", "h", "z")]
    file = model(nodes, [value("x", ROWS, 2, 4, 4)], [value("z", ROWS, 3, 1, 1)], tensors(w=(3, 2, 1, 1)))
    assert prepare(saved(tmp_path, file), loss=CE).manifest.targets.shape == (1, 1)
