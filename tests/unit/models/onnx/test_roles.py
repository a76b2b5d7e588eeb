"""A stored tensor trains if a layer uses it as a weight; everything else is a constant with a reason, and can be named."""

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from models.onnx.prepare import prepare
from models.onnx.trainable import TrainableModel
from tests.support.onnx_files import ROWS, model, node, refusal, saved, tensors, value


def roles(trainable: TrainableModel) -> tuple[set[str], dict[str, str]]:
    return {one.name for one in trainable.manifest.parameters}, {one.name: one.why for one in trainable.manifest.frozen}


def linear(before: list, stored: dict, width: int = 6) -> ModelProto:
    """x (rows, 6), the nodes that make `f` (rows, width), then a linear layer."""
    nodes = [*before, node("MatMul", "f w", "m"), node("Add", "m b", "z")]
    return model(nodes, [value("x", ROWS, 6)], [value("z", ROWS, 3)], tensors(w=(width, 3), b=(3,)) | stored)


def dct(size: int) -> np.ndarray:
    steps = np.arange(size)
    return np.cos(np.pi / size * (steps[:, None] + 0.5) * steps).astype(np.float32)


def test_mean_and_deviation_of_the_input_stay_and_can_be_named(tmp_path: Path):
    before = [node("Sub", "x mean", "c"), node("Div", "c deviation", "f")]
    net = linear(before, tensors(mean=(6,)) | {"deviation": np.linspace(1, 2, 6).astype(np.float32)})
    file = saved(tmp_path, net)
    trained, constants = roles(prepare(file, loss="mse"))
    assert trained == {"w", "b"}
    assert constants == {"mean": "a mean that is taken off", "deviation": "a divisor"}
    assert roles(prepare(file, loss="mse", train=["w", "mean"]))[0] == {"w", "mean"}
    assert "mean (a mean that is taken off)" in refusal(tmp_path, net, train=["mea*"]).next_step


def test_a_spectrum_and_its_bank_of_filters_stay(tmp_path: Path):
    generator = np.random.default_rng(0)
    filters = np.maximum(0, generator.uniform(-3, 1, (16, 8))).astype(np.float32)
    waves = generator.standard_normal((32, 1, 8)).astype(np.float32)
    nodes = [
        node("Conv", "x waves", "parts"),
        node("Split", "parts", "real imaginary", axis=1, num_outputs=2),
        node("Mul", "real real", "a"),
        node("Pow", "imaginary two", "c"),
        node("Add", "a c", "power"),
        node("Transpose", "power", "turned", perm=[0, 2, 1]),
        node("MatMul", "turned filters", "mel"),
        node("Add", "mel little", "safe"),
        node("Log", "safe", "logs"),
        node("MatMul", "logs dct", "cepstrum"),
        node("MatMul", "cepstrum w", "m"),
        node("Add", "m b", "z"),
    ]
    stored = tensors(w=(8, 3), b=(3,)) | {"waves": waves, "filters": filters, "dct": dct(8)}
    stored |= {"two": np.array(2, np.float32), "little": np.array(1e-3, np.float32)}
    file = model(nodes, [value("x", ROWS, 1, 12)], [value("z", ROWS, 5, 3)], stored)
    trained, constants = roles(prepare(saved(tmp_path, file), loss="mse"))
    assert trained == {"w", "b"}
    assert constants["waves"] == constants["filters"] == "a fixed transform of the input"
    assert constants["dct"] == "an orthogonal transform of the input"


def test_biases_scales_positions_and_tokens_behind_a_weight_train(tmp_path: Path):
    before = [
        node("MatMul", "x first", "h"),
        node("Add", "h bias", "hb"),
        node("Mul", "hb scale", "hs"),
        node("Unsqueeze", "hs axis", "one"),
        node("Shape", "x", "s", start=0, end=1),
        node("Concat", "s rest", "to", axis=0),
        node("Expand", "token to", "tokens"),
        node("Concat", "tokens one", "two", axis=1),
        node("Add", "two places", "placed"),
        node("ReduceSum", "placed axis", "f", keepdims=0),
    ]
    stored = tensors(first=(6, 5), bias=(5,), scale=(5,), token=(1, 1, 5), places=(1, 2, 5))
    stored |= {"axis": np.array([1]), "rest": np.array([1, 5])}
    trained, _ = roles(prepare(saved(tmp_path, linear(before, stored, 5)), loss="mse"))
    assert trained == {"first", "bias", "scale", "token", "places", "w", "b"}


def test_running_statistics_spelled_out_masks_and_encodings_stay(tmp_path: Path):
    before = [
        node("MatMul", "x first", "h"),
        node("Sub", "h mean", "c"),
        node("Add", "variance little", "v"),
        node("Sqrt", "v", "deviation"),
        node("Div", "c deviation", "n"),
        node("Mul", "n gamma", "g"),
        node("Add", "g beta", "k"),
        node("Mul", "k kept", "masked"),
        node("Add", "masked hidden", "f"),
    ]
    stored = tensors(first=(6, 4), mean=(4,), gamma=(4,), beta=(4,)) | {
        "variance": np.linspace(1, 2, 4).astype(np.float32),
        "little": np.array(1e-3, np.float32),
        "kept": np.array([1, 0, 1, 1], np.float32),
        "hidden": np.array([0, 0, -1e9, 0], np.float32),
    }
    trained, constants = roles(prepare(saved(tmp_path, linear(before, stored, 4)), loss="mse"))
    assert trained == {"first", "gamma", "beta", "w", "b"}
    assert constants["mean"] == "a mean that is taken off"
    assert constants["variance"] == "a running variance"
    assert constants["kept"] == constants["hidden"] == "a mask"


@pytest.mark.parametrize("halves", [True, False])
def test_sines_and_cosines_of_positions_stay(tmp_path: Path, halves: bool):
    angles = np.arange(6)[:, None] / 10 ** (np.arange(2) * 2)
    table = np.concatenate([np.sin(angles), np.cos(angles)], 1) if halves else np.stack([np.sin(angles), np.cos(angles)], 2).reshape(6, 4)
    nodes = [node("MatMul", "x first", "h"), node("Add", "h table", "p"), node("MatMul", "p w", "z")]
    stored = tensors(first=(3, 4), w=(4, 2)) | {"table": table.astype(np.float32)}
    file = model(nodes, [value("x", ROWS, 6, 3)], [value("z", ROWS, 6, 2)], stored)
    trained, constants = roles(prepare(saved(tmp_path, file), loss="mse"))
    assert (trained, constants) == ({"first", "w"}, {"table": "sines and cosines of positions"})


def twice(second: str, stored: dict, **attributes: int) -> ModelProto:
    nodes = [node("Gemm", "x w", "h"), node("Tanh", "h", "a"), node("Gemm", f"a {second}", "z", **attributes)]
    return model(nodes, [value("x", ROWS, 4)], [value("z", ROWS, 4)], tensors(w=(4, 4)) | stored)


def test_a_tensor_of_two_layers_is_told_and_can_be_taken_apart(tmp_path: Path):
    path = saved(tmp_path, twice("w", {}))
    (one,) = prepare(path, loss="mse").manifest.parameters
    assert (one.name, one.layers) == ("w", 2)
    assert [(one.name, one.layers) for one in prepare(path, loss="mse", untie=["w"]).manifest.parameters] == [("w", 1), ("w.2", 1)]
    assert "'v'" in refusal(tmp_path, twice("w", {}), untie=["v"]).message


@pytest.mark.parametrize("turned", [False, True])
def test_equal_tensors_can_be_trained_as_one(tmp_path: Path, turned: bool):
    shared = tensors(w=(4, 4))["w"]
    file = twice("v", {"v": shared.T.copy() if turned else shared.copy()})
    path = saved(tmp_path, file)
    apart = prepare(path, loss="mse")
    tied = prepare(path, loss="mse", tie=["[wv]"])
    assert [one.name for one in apart.manifest.parameters] == ["w", "v"]
    assert [(one.name, one.layers) for one in tied.manifest.parameters] == [("w", 2)]
    assert tied.manifest.dimension == 16
    assert "'w'" in refusal(tmp_path, file, tie=["w"]).message
