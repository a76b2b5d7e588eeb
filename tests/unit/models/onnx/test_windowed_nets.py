"""Nets of windows, resizing and activations: what is a terms stays, what onnxruntime has in float32 only is checked all the same."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models.onnx import OnnxTrainer
from models.onnx.prepare import prepare
from models.onnx.prepare.check import check_gradients
from tests.support.onnx_files import ROWS, model, node, saved, tensors, value


def test_scales_that_are_put_together_are_no_parameters(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "h", pads=[1, 1, 1, 1]),
        node("Concat", "outer inner", "scales", axis=0),
        node("Resize", "h - scales", "r", mode="linear"),
        node("GlobalMaxPool", "r", "m"),
        node("Flatten", "m", "z"),
    ]
    stored = {**tensors(w=(3, 2, 3, 3)), "outer": np.ones(2, np.float32), "inner": np.full(2, 2.0, np.float32)}
    path = saved(tmp_path, model(nodes, [value("x", ROWS, 2, 4, 4)], [value("z", ROWS, 3)], stored))
    manifest = prepare(path, loss="softmax-cross-entropy").manifest
    assert [one.name for one in manifest.parameters] == ["w"]
    assert {one.name: one.why for one in manifest.frozen} == {"outer": "a scale", "inner": "a scale"}


def test_group_normalisation_spelled_out_has_the_scale_and_bias_that_people_gave_it(tmp_path: Path) -> None:
    nodes = [
        node("Reshape", "x groups", "g"),
        node("InstanceNormalization", "g ones zeros", "n"),
        node("Reshape", "n back", "r"),
        node("Mul", "r scale", "s"),
        node("Add", "s bias", "b"),
        node("GlobalAveragePool", "b", "p"),
        node("Flatten", "p", "f"),
        node("Gemm", "f w", "z"),
    ]
    stored = {**tensors(scale=(4, 1, 1), bias=(4, 1, 1), w=(4, 3)), "ones": np.ones(2, np.float32), "zeros": np.zeros(2, np.float32)}
    stored |= {"groups": np.array([0, 2, -1]), "back": np.array([-1, 4, 3, 3])}
    path = saved(tmp_path, model(nodes, [value("x", ROWS, 4, 3, 3)], [value("z", ROWS, 3)], stored))
    manifest = prepare(path, loss="softmax-cross-entropy").manifest
    assert {one.name for one in manifest.parameters} == {"scale", "bias", "w"}
    assert {one.name for one in manifest.frozen} == {"ones", "zeros"}


@pytest.mark.parametrize("activation", ["Celu", "Elu", "Selu", "Mish", "Softsign", "HardSwish", "LeakyRelu"])
def test_an_activation_is_checked_in_float64_as_far_as_it_can_be(tmp_path: Path, activation: str) -> None:
    nodes = [node("MatMul", "x w", "h"), node(activation, "h", "a"), node("MatMul", "a v", "z")]
    path = saved(tmp_path, model(nodes, [value("x", ROWS, 5)], [value("z", ROWS, 3)], tensors(w=(5, 4), v=(4, 3))))
    report = check_gradients(prepare(path, loss="mse"))
    assert report.precision in {"float64", "float64 and float32"}
    assert report.worst < report.tolerance


@pytest.mark.parametrize(
    "attributes", [{"pads": [1, 1, 1, 1]}, {"strides": [2, 1], "dilations": [1, 2]}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}]
)
@pytest.mark.parametrize("bias", ["", " b"])
def test_a_depthwise_convolution_of_a_small_plane_trains_as_products_of_the_same_value(
    tmp_path: Path, attributes: dict[str, Any], bias: str
) -> None:
    nodes = [
        node("Conv", f"x w{bias}", "h", group=4, **attributes),
        node("Tanh", "h", "a"),
        node("GlobalAveragePool", "a", "p"),
        node("Flatten", "p", "z"),
    ]
    stored = tensors(w=(4, 1, 3, 3), b=(4,))
    bundle = prepare(saved(tmp_path, model(nodes, [value("x", ROWS, 4, 7, 8)], [value("z", ROWS, 4)], stored)), loss="mse")
    assert "Conv" not in {one.op_type for one in onnx.load_from_string(bundle.train).graph.node}
    generator = np.random.default_rng(5)
    x, y = generator.normal(size=(3, 4, 7, 8)), generator.normal(size=(3, 4))
    trainer = OnnxTrainer(bundle)
    parameters = bundle.initial.astype(np.float64)
    loss, _ = trainer.gradient(parameters, x, y)
    assert loss == pytest.approx(np.mean((trainer.outputs(parameters, x) - y) ** 2), rel=1e-5)


def test_a_frozen_depthwise_convolution_stays_as_it_is(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "h", group=2),
        node("Conv", "h v", "a", group=2),
        node("Flatten", "a", "z"),
    ]
    path = saved(tmp_path, model(nodes, [value("x", ROWS, 2, 6, 6)], [value("z", ROWS, 8)], tensors(w=(2, 1, 3, 3), v=(2, 1, 3, 3))))
    graph = onnx.load_from_string(prepare(path, loss="mse", freeze=["w"]).train).graph
    assert [list(one.input) for one in graph.node if one.op_type == "Conv"] == [["x", "w"]]
