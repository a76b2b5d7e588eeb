"""Small ONNX files made by hand, for tests of the build side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from hushfleet.errors import Refusal
from models.onnx.prepare import prepare
from models.onnx.prepare.model import declare
from models.onnx.prepare.refusals import Unsupported
from tests.support.refusals import refused

ROWS = "rows"


def value(name: str, *shape: int | str, dtype: type = np.float32) -> ValueInfoProto:
    return declare(name, np.dtype(dtype), shape)


def tensors(seed: int = 0, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Normal float32 values by name."""
    generator = np.random.default_rng(seed)
    return {name: (0.4 * generator.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    stored: Mapping[str, np.ndarray],
    opset: int = 18,
) -> ModelProto:
    initializers = [numpy_helper.from_array(one, name) for name, one in stored.items()]
    graph = helper.make_graph(list(nodes), "net", list(inputs), list(outputs), initializer=initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def saved(folder: Path, file: ModelProto, name: str = "net") -> Path:
    path = folder / f"{name}.onnx"
    onnx.save(file, path)
    return path


def refusal(folder: Path, file: ModelProto, loss: str = "mse", **options: object) -> Unsupported:
    """The refusal that `prepare` must end in."""
    found: list[Unsupported] = []
    with refused(Refusal.MODEL_UNSUPPORTED, Unsupported):
        try:
            prepare(saved(folder, file), loss=loss, **options)
        except Unsupported as error:
            found.append(error)
            raise
    return found[0]


def node(op_type: str, inputs: str, outputs: str, **attributes: object) -> NodeProto:
    """Names are separated by blanks; `-` stands for an input left out. The node is named after its first output."""
    read = ["" if name == "-" else name for name in inputs.split()]
    written = ["" if name == "-" else name for name in outputs.split()]
    return helper.make_node(op_type, read, written, name=f"node-{written[-1]}" if written[0] == "" else f"node-{written[0]}", **attributes)


def mlp(*, softmax: bool = False, opset: int = 18) -> ModelProto:
    """x (rows, 4) -> Gemm to 6 -> Tanh -> MatMul and Add to 3 -> `z`, or `p`."""
    nodes = [
        node("Gemm", "x w1 b1", "h", transB=1),
        node("Tanh", "h", "a"),
        node("MatMul", "a w2", "m"),
        node("Add", "m b2", "z"),
        *([node("Softmax", "z", "p", axis=1)] if softmax else []),
    ]
    stored = tensors(w1=(6, 4), b1=(6,), w2=(6, 3), b2=(3,))
    return model(nodes, [value("x", ROWS, 4)], [value("p" if softmax else "z", ROWS, 3)], stored, opset)
