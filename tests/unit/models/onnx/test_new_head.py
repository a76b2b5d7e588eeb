"""Another number of classes: a head of the same form, the same every time, in front of what was learned before."""

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from models.onnx.prepare import prepare
from models.onnx.trainer import OnnxTrainer
from tests.support.onnx_files import ROWS, mlp, model, node, refusal, saved, tensors, value

CE = "softmax-cross-entropy"


def gemm() -> ModelProto:
    nodes = [
        node("Gemm", "x w1 b1", "h", transB=1),
        node("Relu", "h", "a"),
        node("Gemm", "a w2 b2", "z", transB=1),
        node("Softmax", "z", "p"),
    ]
    return model(nodes, [value("x", ROWS, 4)], [value("p", ROWS, 3)], tensors(w1=(6, 4), b1=(6,), w2=(3, 6), b2=(3,)))


def convolution() -> ModelProto:
    nodes = [node("Conv", "x w1 b1", "h"), node("GlobalAveragePool", "h", "g"), node("Conv", "g w2 b2", "k"), node("Flatten", "k", "z")]
    return model(nodes, [value("x", ROWS, 2, 5)], [value("z", ROWS, 3)], tensors(w1=(4, 2, 3), b1=(4,), w2=(3, 4, 1), b2=(3,)))


@pytest.mark.parametrize("file", [mlp(softmax=True), gemm(), convolution()], ids=["matmul", "gemm", "conv"])
def test_a_head_of_another_size_trains_behind_the_same_body(tmp_path: Path, file: ModelProto):
    path = saved(tmp_path, file)
    old, fresh, again = prepare(path, loss=CE), prepare(path, loss=CE, classes=5), prepare(path, loss=CE, classes=5)
    assert fresh.manifest.targets.high == 4
    assert fresh.manifest.logits.shape == (5,)
    assert fresh.initial.tobytes() == again.initial.tobytes()
    before, after = (one.architecture.split(one.initial) for one in (old, fresh))
    assert (before["w1"] == after["w1"]).all()
    assert not after["b2"].any()
    assert 0.3 < after["w2"].std() / before["w2"].std() < 3
    x = np.ones((2, *old.manifest.features[0].shape), np.float32)
    assert OnnxTrainer(fresh).outputs(fresh.initial.astype(np.float64), x).shape == (2, 5)


def test_logits_that_no_layer_makes_are_refused(tmp_path: Path):
    nodes = [node("Gemm", "x w", "h"), node("Tanh", "h", "z")]
    file = model(nodes, [value("x", ROWS, 4)], [value("z", ROWS, 3)], tensors(w=(4, 3)))
    assert "--logits" in refusal(tmp_path, file, CE, classes=5).next_step
