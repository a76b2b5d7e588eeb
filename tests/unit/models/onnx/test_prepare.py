"""From an inference file to a trainable model that trains: what is found, renamed, removed, tied, frozen."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from models import losses as numpy_losses
from models.onnx.prepare import prepare
from models.onnx.trainable import TrainableModel
from tests.support.onnx_files import ROWS, mlp, model, node, saved, tensors, value

CE = "softmax-cross-entropy"


def feed(trainable: TrainableModel, parameters: np.ndarray | None = None) -> dict[str, np.ndarray]:
    values = trainable.initial if parameters is None else parameters
    parts = trainable.architecture.split(values.astype(np.float32))
    return {one.input: parts[one.name] for one in trainable.manifest.parameters}


def run(trainable: TrainableModel, fed: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """Loss and flat gradient, by the manifest's names alone."""
    session = onnxruntime.InferenceSession(trainable.train, providers=["CPUExecutionProvider"])
    wanted = [trainable.manifest.loss_output, *(one.gradient for one in trainable.manifest.parameters)]
    loss, *gradients = session.run(wanted, fed)
    return float(loss), np.concatenate([one.reshape(-1) for one in gradients])


def infer(content: bytes, **fed: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, fed)


def names(trainable: TrainableModel) -> list[str]:
    return [one.name for one in trainable.manifest.parameters]


def rows(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def make(folder: Path, file: ModelProto, loss: str = CE, **options: object) -> TrainableModel:
    return prepare(saved(folder, file), loss=loss, **options)


def test_sgd_with_numpy_and_plain_onnxruntime_lowers_the_loss(tmp_path: Path):
    trainable = make(tmp_path, mlp(softmax=True))
    x = rows(40, 4)
    targets = (x[:, 0] + x[:, 1] > 0).astype(np.int64) + (x[:, 2] > 1)
    parameters, found = trainable.initial.astype(np.float64), []
    for _ in range(60):
        loss, gradient = run(trainable, feed(trainable, parameters) | {"x": x, "targets": targets})
        parameters -= 0.5 * gradient
        found.append(loss)
    assert found[-1] < 0.5 * found[0]
    (before,), (after,) = infer(trainable.infer, x=x), infer(trainable.inference_file(parameters.astype(np.float32)), x=x)
    right = [(answer.argmax(1) == targets).mean() for answer in (before, after)]
    assert right[1] > max(right[0], 0.8)


def test_a_final_softmax_is_removed_for_the_loss_and_kept_for_inference(tmp_path: Path):
    trainable, plain = make(tmp_path, mlp(softmax=True)), make(tmp_path, mlp())
    x, targets = rows(5, 4), np.array([0, 1, 2, 1, 0])
    fed = {"x": x, "targets": targets}
    assert run(trainable, feed(trainable) | fed)[0] == pytest.approx(run(plain, feed(plain) | fed)[0], rel=1e-6)
    assert (trainable.manifest.logits.output, trainable.manifest.logits.activation) == ("p", "softmax")
    (probabilities,) = infer(trainable.infer, x=x)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(5), rel=1e-6)
    (z,) = infer(plain.infer, x=x)
    assert np.exp(z) / np.exp(z).sum(1, keepdims=True) == pytest.approx(probabilities, rel=1e-5)


def test_names_are_the_files_own_and_inputs_and_outputs_stay(tmp_path: Path):
    trainable = make(tmp_path, mlp(softmax=True))
    assert names(trainable) == ["w1", "b1", "w2", "b2"]
    assert [one.shape for one in trainable.manifest.parameters] == [(6, 4), (6,), (6, 3), (3,)]
    stored = tensors(w1=(6, 4), b1=(6,), w2=(6, 3), b2=(3,))
    assert trainable.initial == pytest.approx(np.concatenate([one.reshape(-1) for one in stored.values()]))
    graph = onnx.load_from_string(trainable.infer).graph
    assert ([one.name for one in graph.input], [one.name for one in graph.output]) == (["x"], ["p"])
    assert trainable.manifest.targets.high == 2


@pytest.mark.parametrize("loss", ["softmax-cross-entropy", "mse", "binary-cross-entropy"])
def test_losses_are_those_of_the_numpy_models(tmp_path: Path, loss: str):
    trainable = make(tmp_path, mlp(), loss)
    x, generator = rows(7, 4), np.random.default_rng(3)
    targets = {
        "softmax-cross-entropy": generator.integers(0, 3, 7),
        "mse": rows(7, 3, seed=4),
        "binary-cross-entropy": generator.integers(0, 2, (7, 3)).astype(np.float32),
    }[loss]
    (z,) = infer(trainable.infer, x=x)
    wanted, slope = numpy_losses.LOSSES[loss].value_and_slope(z.astype(np.float64), targets)
    found, gradient = run(trainable, feed(trainable) | {"x": x, "targets": targets})
    assert found == pytest.approx(wanted, rel=1e-5)
    assert gradient[-3:] == pytest.approx(slope.sum(axis=0), abs=1e-6)  # b2's gradient


def test_huber_is_half_the_square_near_and_linear_far(tmp_path: Path):
    trainable = make(tmp_path, mlp(), "huber")
    x = rows(2, 4)
    (z,) = infer(trainable.infer, x=x)
    away = np.array([[0.5, -0.25, 0.0], [4.0, -3.0, 1.0]], dtype=np.float32)
    loss, _ = run(trainable, feed(trainable) | {"x": x, "targets": z - away})
    assert loss == pytest.approx((0.125 + 0.03125 + 0 + 3.5 + 2.5 + 0.5) / 6, rel=1e-5)


@pytest.mark.parametrize("loss", ["softmax-cross-entropy", "mse", "huber", "binary-cross-entropy"])
def test_equal_weights_change_nothing_and_a_zero_weight_leaves_its_row_out(tmp_path: Path, loss: str):
    weighted, plain = make(tmp_path, mlp(), loss, weights=True), make(tmp_path, mlp(), loss)
    x, generator = rows(4, 4), np.random.default_rng(5)
    targets = generator.integers(0, 3, 4) if loss == CE else generator.uniform(0, 1, (4, 3)).astype(np.float32)
    given = {"x": x, "targets": targets}
    equal = run(weighted, feed(weighted) | given | {"sample_weights": np.full(4, 2.0, np.float32)})
    without = run(plain, feed(plain) | given)
    assert equal[0] == pytest.approx(without[0], rel=1e-5)
    assert equal[1] == pytest.approx(without[1], abs=1e-6)
    first = run(weighted, feed(weighted) | given | {"sample_weights": np.array([1, 1, 1, 0], np.float32)})
    three = run(plain, feed(plain) | {"x": x[:3], "targets": targets[:3]})
    assert first[0] == pytest.approx(three[0], rel=1e-5)


def test_freeze_and_train_choose_what_the_update_holds(tmp_path: Path):
    head = make(tmp_path, mlp(), train=["*2"])
    assert names(head) == ["w2", "b2"]
    assert {one.name: one.why for one in head.manifest.frozen} == {"w1": "not named by --train", "b1": "not named by --train"}
    assert head.manifest.dimension == 21
    body = make(tmp_path, mlp(), freeze=["*2"], train=["w*"])
    assert names(body) == ["w1"]
    whole = make(tmp_path, mlp())
    fed = {"x": rows(5, 4), "targets": np.array([0, 1, 2, 1, 0])}
    assert run(head, feed(head) | fed)[1] == pytest.approx(run(whole, feed(whole) | fed)[1][-21:], abs=1e-6)


def test_the_dimension_decides_the_architecture_hash(tmp_path: Path):
    assert make(tmp_path, mlp()).architecture.digest != make(tmp_path, mlp(), train=["*2"]).architecture.digest
    assert make(tmp_path, mlp()).architecture.digest == make(tmp_path, mlp()).architecture.digest


def test_tied_weights_are_one_parameter_and_equal_constants_are_two(tmp_path: Path):
    nodes = [
        node("MatMul", "x w", "h"),
        node("LayerNormalization", "h one zero", "n"),
        node("Tanh", "n", "a"),
        node("MatMul", "a w", "k"),
        node("LayerNormalization", "k one zero", "z"),
    ]
    stored = tensors(w=(4, 4)) | {"one": np.ones(4, np.float32), "zero": np.zeros(4, np.float32)}
    trainable = make(tmp_path, model(nodes, [value("x", ROWS, 4)], [value("z", ROWS, 4)], stored))
    assert sorted(names(trainable)) == ["one", "one.2", "w", "zero", "zero.2"]


def as_old_exporters_do(file: ModelProto) -> ModelProto:
    file.graph.input.extend(value(one.name, *one.dims) for one in file.graph.initializer)
    file.ir_version = 3
    return file


def as_constant_nodes(file: ModelProto) -> ModelProto:
    constants = [helper.make_node("Constant", [], [one.name], value=one) for one in file.graph.initializer]
    nodes = [*constants, *file.graph.node]
    del file.graph.initializer[:], file.graph.node[:]
    file.graph.node.extend(nodes)
    return file


@pytest.mark.parametrize("file", [as_old_exporters_do(mlp(opset=11)), as_constant_nodes(mlp()), mlp(opset=13), mlp(opset=21)],
                         ids=["old", "constants", "13", "21"])  # fmt: skip
def test_files_as_exporters_write_them(tmp_path: Path, file: ModelProto):
    trainable, plain = make(tmp_path, file), make(tmp_path, mlp())
    fed = {"x": rows(5, 4), "targets": np.array([0, 1, 2, 1, 0])}
    assert names(trainable) == ["w1", "b1", "w2", "b2"]
    assert run(trainable, feed(trainable) | fed)[1] == pytest.approx(run(plain, feed(plain) | fed)[1], abs=1e-6)
    graph = onnx.load_from_string(trainable.train)
    assert (graph.opset_import[0].version, graph.ir_version) == (18, 8)


@pytest.mark.parametrize(("target", "allowzero"), [([1, 6], 0), ([1, -1], 1), ([1, -1], 0)])
def test_a_file_with_a_fixed_batch_takes_any_number_of_rows(tmp_path: Path, target: list[int], allowzero: int):
    nodes = [node("Reshape", "x shape", "flat", allowzero=allowzero), node("MatMul", "flat w", "z")]
    stored = tensors(w=(6, 3)) | {"shape": np.array(target)}
    trainable = make(tmp_path, model(nodes, [value("x", 1, 2, 3)], [value("z", 1, 3)], stored))
    loss, _ = run(trainable, feed(trainable) | {"x": rows(9, 2, 3), "targets": np.zeros(9, np.int64)})
    assert np.isfinite(loss)


def test_shape_arithmetic_and_a_mask_of_infinities_are_no_parameters(tmp_path: Path):
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s first", "n"),
        node("Unsqueeze", "n axis", "n1"),
        node("Concat", "n1 rest", "to", axis=0),
        node("Reshape", "x to", "flat"),
        node("MatMul", "flat w", "scores"),
        node("Add", "scores mask", "masked"),
        node("Softmax", "masked", "share"),
        node("MatMul", "share v", "z"),
    ]
    stored = tensors(w=(6, 3), v=(3, 3)) | {
        "first": np.array(0),
        "axis": np.array([0]),
        "rest": np.array([6]),
        "mask": np.array([[0, -np.inf, 0]], np.float32),
    }
    trainable = make(tmp_path, model(nodes, [value("x", ROWS, 2, 3)], [value("z", ROWS, 3)], stored))
    assert names(trainable) == ["w", "v"]
    assert [(one.name, one.why) for one in trainable.manifest.frozen] == [("mask", "a mask with infinite values")]
    _, gradient = run(trainable, feed(trainable) | {"x": rows(4, 2, 3), "targets": np.array([0, 1, 2, 1])})
    assert np.isfinite(gradient).all()


def test_tokens_are_bounded_by_their_table(tmp_path: Path):
    nodes = [node("Gather", "table ids", "e"), node("ReduceMean", "e axes", "m", keepdims=0), node("MatMul", "m w", "z")]
    stored = tensors(table=(11, 4), w=(4, 3)) | {"axes": np.array([1])}
    trainable = make(tmp_path, model(nodes, [value("ids", ROWS, 5, dtype=np.int64)], [value("z", ROWS, 3)], stored))
    (tokens,) = trainable.manifest.features
    assert (tokens.dtype, tokens.shape, tokens.low, tokens.high) == ("int64", (5,), 0, 10)
    assert names(trainable) == ["table", "w"]


def two_headed() -> ModelProto:
    file = mlp()
    file.graph.node.extend([node("MatMul", "a w3", "size"), node("ArgMax", "z", "label", axis=1, keepdims=0)])
    file.graph.initializer.append(numpy_helper.from_array(tensors(w3=(6, 1))["w3"], "w3"))
    file.graph.output.extend([value("size", ROWS, 1), value("label", ROWS, dtype=np.int64)])
    return file


def test_one_of_several_outputs_is_named_and_all_are_kept_for_inference(tmp_path: Path):
    trainable = make(tmp_path, two_headed(), "mse", logits="size")
    assert names(trainable) == ["w1", "b1", "w3"]
    assert [one.name for one in onnx.load_from_string(trainable.infer).graph.output] == ["z", "size", "label"]


def test_several_inputs(tmp_path: Path):
    nodes = [node("MatMul", "x w", "a"), node("MatMul", "y v", "b"), node("Add", "a b", "z")]
    trainable = make(tmp_path, model(nodes, [value("x", ROWS, 2), value("y", ROWS, 3)], [value("z", ROWS, 2)], tensors(w=(2, 2), v=(3, 2))))
    assert [(one.name, one.shape) for one in trainable.manifest.features] == [("x", (2,)), ("y", (3,))]


def test_an_output_that_needs_an_input_of_its_own_goes(tmp_path: Path):
    file = mlp()
    file.graph.node.append(node("Mul", "z y", "other"))
    file.graph.input.append(value("y", ROWS, 3))
    file.graph.output.append(value("other", ROWS, 3))
    trainable = make(tmp_path, file, logits="z")
    assert [one.name for one in trainable.manifest.features] == ["x"]
    graph = onnx.load_from_string(trainable.infer).graph
    assert ([one.name for one in graph.input], [one.name for one in graph.output]) == (["x"], ["z"])


def dropping() -> ModelProto:
    file = mlp()
    file.graph.node[2].input[0] = "d"
    file.graph.node.insert(2, node("Dropout", "a ratio", "d mask"))
    file.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "ratio"))
    return file


def test_dropout_passes_everything_on_unless_it_is_asked_for(tmp_path: Path):
    fed = {"x": rows(30, 4), "targets": np.arange(30) % 3}
    plain, quiet, noisy = make(tmp_path, mlp()), make(tmp_path, dropping()), make(tmp_path, dropping(), dropout=True)
    assert run(quiet, feed(quiet) | fed)[0] == pytest.approx(run(plain, feed(plain) | fed)[0], rel=1e-6)
    session = onnxruntime.InferenceSession(noisy.train, providers=["CPUExecutionProvider"])
    losses = {float(session.run(["loss"], feed(noisy) | fed)[0]) for _ in range(4)}
    assert len(losses) > 1
    assert infer(noisy.infer, x=fed["x"])[0] == pytest.approx(infer(plain.infer, x=fed["x"])[0], rel=1e-6)


def test_normalisation_keeps_its_statistics_and_trains_scale_and_bias(tmp_path: Path):
    stored = tensors(w=(4, 3), scale=(3,), bias=(3,)) | {"mean": np.array([1, 2, 3], np.float32), "var": np.array([1, 4, 9], np.float32)}
    nodes = [
        node("MatMul", "x w", "h"),
        node("BatchNormalization", "h scale bias mean var", "z new_mean new_var", training_mode=1, momentum=0.5),
    ]
    trainable = make(tmp_path, model(nodes, [value("x", ROWS, 4)], [value("z", ROWS, 3)], stored))
    assert names(trainable) == ["w", "scale", "bias"]
    assert {one.name: one.why for one in trainable.manifest.frozen} == {"mean": "a running mean", "var": "a running variance"}
    x = rows(3, 4)
    wanted = (x @ stored["w"] - stored["mean"]) / np.sqrt(stored["var"] + 1e-5) * stored["scale"] + stored["bias"]
    assert infer(trainable.infer, x=x)[0] == pytest.approx(wanted, abs=1e-5)


def test_a_branch_with_a_constant_condition_is_taken(tmp_path: Path):
    then = helper.make_graph([node("Tanh", "h", "t")], "then", [], [value("t", ROWS, 3)])
    other = helper.make_graph([node("Neg", "h", "n")], "else", [], [value("n", ROWS, 3)])
    nodes = [node("MatMul", "x w", "h"), node("If", "yes", "z", then_branch=then, else_branch=other)]
    stored = tensors(w=(4, 3)) | {"yes": np.array(True)}
    trainable = make(tmp_path, model(nodes, [value("x", ROWS, 4)], [value("z", ROWS, 3)], stored))
    x = rows(3, 4)
    assert infer(trainable.infer, x=x)[0] == pytest.approx(np.tanh(x @ stored["w"]), abs=1e-5)


def test_a_named_axis_gets_a_size(tmp_path: Path):
    nodes = [node("ReduceMean", "x axes", "m", keepdims=0), node("MatMul", "m w", "z")]
    file = model(nodes, [value("x", ROWS, "length", 4)], [value("z", ROWS, 3)], tensors(w=(4, 3)) | {"axes": np.array([1])})
    assert make(tmp_path, file, sizes={"length": 8}).manifest.features[0].shape == (8, 4)


def test_weights_in_a_stack_of_positions_train_by_position(tmp_path: Path):
    file = model([node("MatMul", "x w", "z")], [value("x", ROWS, 5, 4)], [value("z", ROWS, 5, 3)], tensors(w=(4, 3)))
    trainable = make(tmp_path, file)
    assert trainable.manifest.targets.shape == (5,)
    loss, _ = run(trainable, feed(trainable) | {"x": rows(2, 5, 4), "targets": np.zeros((2, 5), np.int64)})
    assert np.isfinite(loss)


def test_the_batch_axis_is_the_only_open_one(tmp_path: Path):
    graph = onnx.load_from_string(make(tmp_path, mlp()).train).graph
    open_axes = [dim.dim_param for one in graph.input for dim in one.type.tensor_type.shape.dim if dim.dim_param]
    assert open_axes == ["N", "N"]  # of features and targets
    assert {one.type.tensor_type.elem_type for one in graph.input} == {TensorProto.FLOAT, TensorProto.INT64}
