"""What a file may take: inputs without rows, states with their rows elsewhere, half precision, old and new opsets, roots and logarithms."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from models.onnx.prepare import prepare
from models.onnx.trainer import OnnxTrainer
from tests.support.onnx_files import ROWS, mlp, model, node, refusal, saved, tensors, value


def remembering() -> object:
    """x (rows, 5, 2) through an LSTM with its states and a rate among its inputs."""
    nodes = [
        node("Transpose", "x", "steps", perm=[1, 0, 2]),
        node("LSTM", "steps w r - - h0 c0", "y h c", hidden_size=3),
        node("Squeeze", "h axis", "q"),
        node("Mul", "q rate", "s"),
        node("MatMul", "s v", "z"),
    ]
    stored = tensors(w=(1, 12, 2), r=(1, 12, 3), v=(3, 2)) | {"axis": np.array([0])}
    inputs = [value("x", ROWS, 5, 2), value("h0", 1, ROWS, 3), value("c0", 1, ROWS, 3), value("rate")]
    return model(nodes, inputs, [value("z", ROWS, 2)], stored)


def test_states_are_fed_with_rows_in_front_and_a_rate_is_given_once(tmp_path: Path):
    trainable = prepare(saved(tmp_path, remembering()), loss="mse", values={"rate": 2.0})
    assert [(one.name, one.shape) for one in trainable.manifest.features] == [("x", (5, 2)), ("h0", (1, 3)), ("c0", (1, 3))]
    rows = np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32)
    found = OnnxTrainer(trainable).outputs(trainable.initial.astype(np.float64), rows)
    fed = {"x": rows[:, :10].reshape(4, 5, 2), "h0": rows[:, 10:13][None], "c0": rows[:, 13:][None], "rate": np.float32(2)}
    (wanted,) = onnxruntime.InferenceSession(remembering().SerializeToString()).run(["z"], {k: np.asarray(v) for k, v in fed.items()})
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert "--value rate=NUMBER" in refusal(tmp_path, remembering()).next_step
    assert "no input absent" in refusal(tmp_path, remembering(), values={"absent": 1.0}).message


def test_a_head_behind_a_frozen_recurrent_layer_trains(tmp_path: Path):
    trainable = prepare(saved(tmp_path, remembering()), loss="mse", values={"rate": 2.0}, freeze=["w", "r"])
    assert [one.name for one in trainable.manifest.parameters] == ["v"]


@pytest.mark.parametrize("opset", [7, 8, 9, 10])
def test_an_old_file_trains_as_a_later_one(tmp_path: Path, opset: int):
    old, new = (prepare(saved(tmp_path, mlp(opset=number)), loss="mse") for number in (opset, 18))
    x, targets = np.ones((3, 4), np.float32), np.zeros((3, 3), np.float32)
    gradients = [OnnxTrainer(one).gradient(one.initial.astype(np.float64), x, targets)[1] for one in (old, new)]
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-6)


def test_what_came_after_opset_18_is_taken_apart(tmp_path: Path):
    nodes = [
        node("MatMul", "x w", "h"),
        node("RMSNormalization", "h scale", "n", axis=-1),
        node("Attention", "n n n", "a", q_num_heads=2, kv_num_heads=2),
        node("MatMul", "a v", "z"),
    ]
    file = model(nodes, [value("x", ROWS, 3, 4)], [value("z", ROWS, 3, 2)], tensors(w=(4, 4), scale=(4,), v=(4, 2)), 23)
    file.ir_version = 10
    trainable = prepare(saved(tmp_path, file), loss="mse")
    assert [one.name for one in trainable.manifest.parameters] == ["w", "scale", "v"]
    x = np.random.default_rng(0).standard_normal((2, 12)).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(file.SerializeToString()).run(None, {"x": x.reshape(2, 3, 4)})
    found = OnnxTrainer(trainable).outputs(trainable.initial.astype(np.float64), x)
    np.testing.assert_allclose(found, wanted.reshape(2, -1), rtol=1e-4, atol=1e-6)


def test_half_precision_becomes_single(tmp_path: Path):
    file = mlp()
    for one in file.graph.initializer:
        one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one).astype(np.float16), one.name))
    for one in (*file.graph.input, *file.graph.output):
        one.type.tensor_type.elem_type = TensorProto.FLOAT16
    trainable = prepare(saved(tmp_path, file), loss="mse")
    assert trainable.manifest.features[0].dtype == trainable.manifest.targets.dtype == "float32"
    assert trainable.initial[:3].tolist() == tensors(w1=(6, 4))["w1"].astype(np.float16).astype(np.float32).ravel()[:3].tolist()


@pytest.mark.parametrize(("op_type", "low"), [("Sqrt", 0.0), ("Log", 1e-3), ("Acosh", 1.0), ("Asin", -1.0), ("Exp", None)])
def test_inputs_of_roots_and_logarithms_are_bounded(tmp_path: Path, op_type: str, low: float | None):
    nodes = [node(op_type, "x", "f"), node("MatMul", "f w", "z")]
    file = model(nodes, [value("x", ROWS, 4)], [value("z", ROWS, 3)], tensors(w=(4, 3)))
    assert prepare(saved(tmp_path, file), loss="mse").manifest.features[0].low == low


def test_a_slice_with_a_huge_end_does_not_cut_the_rows(tmp_path: Path):
    nodes = [node("MatMul", "x w", "h"), node("Slice", "h begin end axes", "z")]
    stored = tensors(w=(4, 3)) | {"begin": np.array([0, 0]), "end": np.array([10_000_000, 10_000_000]), "axes": np.array([0, 1])}
    assert prepare(saved(tmp_path, model(nodes, [value("x", ROWS, 4)], [value("z", ROWS, 3)], stored)), loss="mse")


def test_open_axes_without_a_name_are_sized_by_input_and_number(tmp_path: Path):
    nodes = [node("Gather", "h first", "s", axis=1), node("Concat", "x s", "j", axis=1), node("MatMul", "j w", "z")]
    stored = tensors(w=(7, 2)) | {"first": np.array(0)}
    inputs = [value("x", None, None), value("turned", 2, None, 3)]
    nodes.insert(0, node("Transpose", "turned", "h", perm=[1, 0, 2]))
    file = model(nodes, inputs, [value("z", None, 2)], stored)
    assert "--size x:1=" in refusal(tmp_path, file).next_step
    trainable = prepare(saved(tmp_path, file), loss="mse", sizes={"x:1": 4})
    assert [(one.name, one.shape) for one in trainable.manifest.features] == [("x", (4,)), ("turned", (2, 3))]
