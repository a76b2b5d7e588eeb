"""The check finds wrong gradients: it is no check otherwise."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest

from hushfleet.errors import LocalError, Refusal
from models.onnx.prepare import check, prepare, registry, simplify
from models.onnx.prepare.check import check_gradients
from models.onnx.prepare.double import open_in_double
from models.onnx.prepare.graph import Graph
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


def test_it_is_found_too_in_a_convolutional_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = saved(tmp_path, convolution())
    right = check_gradients(prepare(path, loss="softmax-cross-entropy"))
    assert right.precision == "float64"
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
    nodes = [node("MatMul", "x w", "h"), node("Erf", "h", "z")]
    session, whole = open_in_double(model(nodes, [value("x", ROWS, 2)], [value("z", ROWS, 3)], tensors(w=(2, 3))))
    assert not whole
    assert session.get_outputs()[0].type == "tensor(double)"
    assert session.run(None, {"x": np.ones((2, 2))})[0].shape == (2, 3)
    assert open_in_double(mlp())[1]


@pytest.mark.parametrize("group", [1, 2, 4])
def test_convolutions_and_averages_are_spelled_out_in_float64(group: int):
    nodes = [
        node("Conv", "x w b", "h", strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2], group=group),
        node("AveragePool", "h", "a", kernel_shape=[2, 2], strides=[1, 2], pads=[1, 0, 0, 1]),
        node("GlobalAveragePool", "a", "z"),
    ]
    file = model(nodes, [value("x", ROWS, 4, 8, 9)], [value("z", ROWS, 8, 1, 1)], tensors(w=(8, 4 // group, 3, 2), b=(8,)))
    session, whole = open_in_double(file)
    assert whole
    x = np.random.default_rng(0).standard_normal((2, 4, 8, 9))
    wanted = onnxruntime.InferenceSession(file.SerializeToString()).run(None, {"x": x.astype(np.float32)})[0]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=1e-4, atol=1e-6)


def scaled(rule: Derivative, factor: float, index: int) -> Derivative:
    def wrong(at: Context) -> list[str | None]:
        found = list(rule(at))
        one = found[index] if index < len(found) else None
        if one is not None:
            found[index] = at.emit.mul(one, at.emit.constant(np.array(factor, np.float32)))
        return found

    return wrong


@pytest.mark.parametrize(("op_type", "index"), [("Conv", 0), ("Conv", 1), ("Conv", 2), ("Relu", 0), ("MaxPool", 0), ("Gemm", 1)])
def test_nine_in_a_thousand_too_much_is_found_anywhere_in_a_convolutional_net(monkeypatch: pytest.MonkeyPatch, op_type: str, index: int):
    path = Path(__file__).parents[3] / "golden" / "onnx" / "lenet.script.onnx"
    rules = {**registry.load(), op_type: scaled(registry.load()[op_type], 1.009, index)}
    monkeypatch.setattr(registry, "load", lambda: rules)
    with refused(Refusal.MODEL_GRADIENT, LocalError):
        prepare(path, loss="softmax-cross-entropy")


def test_the_parameter_that_is_wrong_is_named_and_no_other(monkeypatch: pytest.MonkeyPatch):
    path = Path(__file__).parents[3] / "golden" / "onnx" / "mlp.script.onnx"
    rule = registry.load()["Gemm"]

    def wrong(at: Context) -> list[str | None]:
        return list((scaled(rule, 1.009, 1) if at.input(1) == "2.weight" else rule)(at))

    rules = {**registry.load(), "Gemm": wrong}
    monkeypatch.setattr(registry, "load", lambda: rules)
    with pytest.raises(LocalError) as caught:
        prepare(path, loss="softmax-cross-entropy")
    assert caught.value.message.count(" by ") == 1
    assert "'2.weight' by 0.0089" in caught.value.message


def test_a_full_check_moves_each_parameter_by_itself(tmp_path: Path):
    found: list[check.Report] = []
    prepare(saved(tmp_path, convolution()), loss="softmax-cross-entropy", full_check=True, checked=found.append)
    assert len(set(found[0].errors.values())) == len(found[0].errors)


def test_large_values_are_checked_with_fewer_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trainable = prepare(saved(tmp_path, convolution()), loss="softmax-cross-entropy")
    assert check_gradients(trainable).rows == check.ROWS
    monkeypatch.setattr(check, "MOST_BYTES", 1000)
    assert check_gradients(trainable).rows == check.FEWEST


def test_a_forward_pass_that_differs_from_the_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def wrong(graph: Graph, *, dropout: bool) -> None:  # noqa: ARG001 -- the signature of `simplify`
        graph.initializers["b2"] = graph.initializers["b2"] * np.float32(1.001)

    monkeypatch.setattr(simplify, "simplify", wrong)
    with refused(Refusal.MODEL_GRADIENT, LocalError):
        prepare(saved(tmp_path, mlp()), loss="mse")


def test_a_loss_that_is_not_that_of_the_outputs_is_found(tmp_path: Path):
    other = prepare(saved(tmp_path, mlp()), loss="huber")
    claimed = replace(other, manifest=msgspec.structs.replace(other.manifest, loss="mse"))
    with refused(Refusal.MODEL_GRADIENT, LocalError):
        check_gradients(claimed)


def test_a_quick_check_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch):
    path = Path(__file__).parents[3] / "golden" / "onnx" / "lenet.script.onnx"
    trainable = prepare(path, loss="softmax-cross-entropy")
    monkeypatch.setattr(check, "QUICK_S", -1)
    late = check_gradients(trainable)
    assert late.errors
    assert not late.failed
    monkeypatch.setitem(check._TOLERANCES, "float64", 0.0)
    with pytest.raises(LocalError) as caught:
        check_gradients(trainable)
    assert "--check full" in caught.value.next_step
