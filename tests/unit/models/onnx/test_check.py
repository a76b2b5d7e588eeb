"""The check finds wrong gradients: it is no check otherwise."""

from pathlib import Path

import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from models.onnx.prepare import check, prepare, registry
from models.onnx.prepare.check import check_gradients
from models.onnx.prepare.double import open_in_double
from models.onnx.prepare.registry import Context, Derivative
from tests.support.onnx_files import ROWS, mlp, model, node, saved, tensors, value
from tests.support.refusals import refused


def doubled(at: Context) -> list[str | None]:
    return [at.emit.mul(at.grad, at.number(2))]


def unchanged(at: Context) -> list[str | None]:
    return [at.grad]


def nearly(at: Context) -> list[str | None]:
    slope = at.emit.sub(at.number(1), at.emit.mul(at.node.output[0], at.node.output[0]))
    return [at.emit.mul(at.grad, at.emit.mul(slope, at.number(1.001)))]


def nothing(at: Context) -> list[str | None]:
    return [at.emit.zeros(at.input(0))]


@pytest.mark.parametrize("wrong", [doubled, unchanged, nearly, nothing])
def test_a_wrong_derivative_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Derivative):
    rules = {**registry.load(), "Tanh": wrong}
    monkeypatch.setattr(registry, "load", lambda: rules)
    with refused(Refusal.MODEL_GRADIENT, LocalError):
        prepare(saved(tmp_path, mlp()), loss="mse")


def convolution() -> object:
    nodes = [node("Conv", "x w b", "h", pads=[1, 1]), node("Relu", "h", "r"), node("Flatten", "r", "f"), node("MatMul", "f v", "z")]
    return model(nodes, [value("x", ROWS, 2, 6)], [value("z", ROWS, 3)], tensors(w=(4, 2, 3), b=(4,), v=(24, 3)))


def half(at: Context) -> list[str | None]:
    """Right for the first row only."""
    first = at.emit.op("Slice", at.grad, at.emit.integers([0]), at.emit.integers([1]), at.emit.integers([0]))
    rest = at.emit.op("Slice", at.grad, at.emit.integers([1]), at.emit.integers([2**31]), at.emit.integers([0]))
    return [at.emit.op("Concat", first, at.emit.mul(rest, at.number(0.9)), axis=0)]


def test_it_is_found_too_where_onnxruntime_has_float32_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = saved(tmp_path, convolution())
    right = check_gradients(prepare(path, loss="softmax-cross-entropy"))
    assert right.precision == "float64 and float32"
    assert right.worst < right.tolerance
    rules = {**registry.load(), "Relu": half}
    monkeypatch.setattr(registry, "load", lambda: rules)
    with refused(Refusal.MODEL_GRADIENT, LocalError):
        prepare(path, loss="softmax-cross-entropy")


def test_without_any_float64_the_check_is_coarser_and_finds_it_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(_: object) -> None:
        raise RuntimeError("no float64 here")

    monkeypatch.setattr(check, "open_in_double", fails)
    path = saved(tmp_path, convolution())
    right = check_gradients(prepare(path, loss="softmax-cross-entropy"))
    assert right.precision == "float32"
    assert right.worst < right.tolerance
    rules = {**registry.load(), "Relu": half}
    monkeypatch.setattr(registry, "load", lambda: rules)
    with refused(Refusal.MODEL_GRADIENT, LocalError):
        prepare(path, loss="softmax-cross-entropy")


def test_the_report_names_every_parameter(tmp_path: Path):
    report = check_gradients(prepare(saved(tmp_path, mlp()), loss="huber"), seed=3)
    assert list(report.errors) == ["w1", "b1", "w2", "b2"]
    assert report.precision == "float64"
    assert report.worst == max(report.errors.values()) < 1e-6


def test_casts_surround_what_has_no_float64():
    session, whole = open_in_double(convolution())
    assert not whole
    assert session.get_outputs()[0].type == "tensor(double)"
    (z,) = session.run(None, {"x": np.ones((2, 2, 6))})
    assert z.shape == (2, 3)
    assert open_in_double(mlp())[1]


def tenth_more(rule: Derivative) -> Derivative:
    return lambda at: [None if one is None else at.emit.mul(one, at.emit.constant(np.array(1.1, np.float32))) for one in rule(at)]


@pytest.mark.parametrize("op_type", ["Conv", "Relu", "MaxPool", "Gemm"])
def test_a_tenth_too_much_is_found_in_any_operator_of_a_convolutional_net(monkeypatch: pytest.MonkeyPatch, op_type: str):
    path = Path(__file__).parents[3] / "golden" / "onnx" / "lenet.script.onnx"
    rules = {**registry.load(), op_type: tenth_more(registry.load()[op_type])}
    monkeypatch.setattr(registry, "load", lambda: rules)
    with refused(Refusal.MODEL_GRADIENT, LocalError):
        prepare(path, loss="softmax-cross-entropy")
