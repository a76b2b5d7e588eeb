"""What cannot be trained is refused by name: node, operator, what to do. Never a silent wrong gradient."""

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from hushfleet.errors import LocalError, Refusal
from models.onnx.prepare import prepare
from tests.support.onnx_files import ROWS, mlp, model, node, refusal, saved, tensors, value
from tests.support.refusals import refused


def after(inner: list, stored: dict | None = None, width: int = 3) -> ModelProto:
    """x (rows, 4) times `w` to `h` (rows, 3), then the nodes that make `z`."""
    nodes = [node("MatMul", "x w", "h"), *inner]
    return model(nodes, [value("x", ROWS, 4)], [value("z", ROWS, width)], tensors(w=(4, 3)) | (stored or {}))


def loop() -> ModelProto:
    """As often as the input says."""
    body = helper.make_graph(
        [node("Tanh", "v", "v_next"), node("Identity", "go", "go_next")],
        "body",
        [value("i", dtype=np.int64), value("go", dtype=np.bool_), value("v", ROWS, 3)],
        [value("go_next", dtype=np.bool_), value("v_next", ROWS, 3)],
    )
    times = [
        node("ReduceMax", "x", "most", keepdims=0),
        node("Abs", "most", "size"),
        node("Cast", "size", "times", to=TensorProto.INT64),
        node("Loop", "times - h", "z", body=body),
    ]
    return after(times)


def branch() -> ModelProto:
    """One of two, as the input says."""
    graphs = {
        name: helper.make_graph([node(op_type, "h", f"{name}_z")], name, [], [value(f"{name}_z", ROWS, 3)])
        for name, op_type in (("then", "Tanh"), ("else", "Neg"))
    }
    condition = [node("ReduceMax", "x", "most", keepdims=0), node("Cast", "most", "yes", to=TensorProto.BOOL)]
    return after([*condition, node("If", "yes", "z", then_branch=graphs["then"], else_branch=graphs["else"])])


def sequence() -> ModelProto:
    return after([node("SequenceConstruct", "h h", "pair"), node("ConcatFromSequence", "pair", "z", axis=1)], width=6)


@pytest.mark.parametrize(
    ("file", "name", "operator"),
    [
        (loop(), "node-z", "Loop"),
        (branch(), "node-z", "If"),
        (sequence(), "node-z", "ConcatFromSequence"),
        (after([node("Hardmax", "h", "z")]), "node-z", "Hardmax"),
        (after([node("Floor", "h", "z")]), "node-z", "Floor"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_an_operator_without_a_derivative_on_a_parameters_path(tmp_path: Path, file: ModelProto, name: str, operator: str):
    error = refusal(tmp_path, file)
    assert (error.node, error.operator) == (name, operator)
    assert operator in error.message
    assert error.next_step


def test_the_same_operator_before_all_parameters_is_no_obstacle(tmp_path: Path):
    nodes = [node("Floor", "x", "f"), node("MatMul", "f w", "z")]
    assert prepare(saved(tmp_path, model(nodes, [value("x", ROWS, 4)], [value("z", ROWS, 3)], tensors(w=(4, 3)))), loss="mse")


def test_nor_is_it_after_parameters_that_are_frozen(tmp_path: Path):
    file = after([node("Floor", "h", "f"), node("MatMul", "f u", "z")], tensors(u=(3, 3)))
    assert refusal(tmp_path, file).operator == "Floor"
    assert [one.name for one in prepare(tmp_path / "net.onnx", loss="mse", freeze=["w"]).manifest.parameters] == ["u"]


def test_a_path_of_whole_numbers_gives_no_gradient(tmp_path: Path):
    file = after([node("ArgMax", "h", "i", axis=1), node("Cast", "i", "z", to=TensorProto.FLOAT)], width=1)
    assert "whole numbers" in refusal(tmp_path, file).message


def test_a_model_without_stored_weights(tmp_path: Path):
    file = model([node("Tanh", "x", "z")], [value("x", ROWS, 4)], [value("z", ROWS, 4)], {})
    assert "no output depends on stored weights" in refusal(tmp_path, file).message


def test_a_model_in_which_nothing_may_train(tmp_path: Path):
    assert "no trainable parameter" in refusal(tmp_path, mlp(), freeze=["*"]).message
    file = model([node("Mul", "x half", "z")], [value("x", ROWS, 4)], [value("z", ROWS, 4)], {"half": np.array(0.5, np.float32)})
    assert "no trainable parameter" in refusal(tmp_path, file).message


def test_a_pattern_that_matches_nothing(tmp_path: Path):
    error = refusal(tmp_path, mlp(), train=["head.*"])
    assert "'head.*'" in error.message
    assert "w1, b1, w2, b2" in error.next_step


def test_a_symbolic_size_beside_the_batch(tmp_path: Path):
    file = model([node("MatMul", "x w", "z")], [value("x", ROWS, "length", 4)], [value("z", ROWS, "length", 3)], tensors(w=(4, 3)))
    error = refusal(tmp_path, file)
    assert "axis 1 of the input 'x'" in error.message
    assert "--size length=" in error.next_step


def test_several_outputs_need_a_name(tmp_path: Path):
    file = mlp()
    file.graph.node.append(node("Neg", "z", "y"))
    file.graph.output.append(value("y", ROWS, 3))
    assert "--logits" in refusal(tmp_path, file).next_step
    assert "no value of the model" in refusal(tmp_path, file, logits="absent").message


def test_an_output_that_is_no_row_per_row(tmp_path: Path):
    file = after([node("ReduceMean", "h", "z", keepdims=0)])
    del file.graph.output[0].type.tensor_type.shape.dim[:]
    assert "not a row per row" in refusal(tmp_path, file).message


def test_cross_entropy_of_one_class(tmp_path: Path):
    file = model([node("MatMul", "x w", "z")], [value("x", ROWS, 4)], [value("z", ROWS, 1)], tensors(w=(4, 1)))
    assert "binary-cross-entropy" in refusal(tmp_path, file, "softmax-cross-entropy").next_step


def test_a_loss_that_does_not_exist(tmp_path: Path):
    assert "softmax-cross-entropy" in refusal(tmp_path, mlp(), "hinge").next_step


def test_double_precision_is_not_what_devices_train(tmp_path: Path):
    stored = {name: one.astype(np.float64) for name, one in tensors(w=(4, 3)).items()}
    inputs, outputs = [value("x", ROWS, 4, dtype=np.float64)], [value("z", ROWS, 3, dtype=np.float64)]
    assert "float64" in refusal(tmp_path, model([node("MatMul", "x w", "z")], inputs, outputs, stored)).message


def test_names_that_training_needs(tmp_path: Path):
    file = model([node("MatMul", "targets w", "z")], [value("targets", ROWS, 4)], [value("z", ROWS, 3)], tensors(w=(4, 3)))
    assert "targets" in refusal(tmp_path, file).message


def test_old_opsets_and_things_that_are_no_model(tmp_path: Path):
    assert "opset 6" in refusal(tmp_path, mlp(opset=6)).message
    noise = tmp_path / "noise.onnx"
    noise.write_bytes(b"\xff\x00 not a model")
    with refused(Refusal.MODEL_UNSUPPORTED, LocalError):
        prepare(noise, loss="mse")
    with pytest.raises(FileNotFoundError):
        prepare(tmp_path / "absent.onnx", loss="mse")


def test_a_file_that_onnxruntime_cannot_run(tmp_path: Path):
    file = after([node("Reshape", "h to", "z")], {"to": np.array([5, 3])})
    assert "3 and 5 rows" in refusal(tmp_path, file).message


def test_an_input_without_a_batch_axis(tmp_path: Path):
    file = model([node("Mul", "x w", "z")], [value("x")], [value("z", 3)], tensors(w=(3,)))
    assert "no batch axis" in refusal(tmp_path, file).message


@pytest.mark.parametrize("operator", ["TreeEnsembleClassifier", "TreeEnsembleRegressor", "SVMClassifier"])
@pytest.mark.parametrize("columns", [4, "columns"], ids=["shape known", "shape open"])
def test_a_forest_is_told_that_no_gradient_trains_it_and_nothing_of_its_export(tmp_path, operator, columns):
    """An open shape would otherwise be complained of first, and mending it would lead nowhere."""
    forest = helper.make_node(operator, ["x"], ["z"], name="forest", domain="ai.onnx.ml")
    file = model([forest], [value("x", ROWS, columns)], [value("z", ROWS, 3)], {})
    file.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))

    told = str(refusal(tmp_path, file, "softmax-cross-entropy"))

    assert "no gradient trains" in told
    assert "axis" not in told


def test_rows_that_are_no_examples_each_by_itself(tmp_path: Path):
    error = refusal(tmp_path, after([node("CumSum", "h axis", "z")], {"axis": np.array(0)}))
    assert "changes with the rows beside it" in error.message
    assert "batch axis" in error.next_step
