"""Another number of classes: the last layer anew, of the same form, its weights drawn from a seed."""

import numpy as np
from onnx import NodeProto

from models.onnx.prepare.graph import Array, Graph, attribute
from models.onnx.prepare.refusals import Unsupported

_PASSING = {"Cast", "Flatten", "Identity", "Squeeze"}


def renew_head(graph: Graph, logits: str, classes: int) -> None:
    """Give the layer that makes `logits` this many classes. `Unsupported` if no `Gemm`, `MatMul` or `Conv` with stored weights does.

    Weights are normal with the deviation of the old ones, from the seed `classes`; biases are zeros. Shapes must be probed again.
    """
    makers = {name: node for node in graph.nodes for name in node.output}
    biases: list[tuple[str, int]] = []
    node = makers.get(logits)
    while node is not None and node.op_type in {"Add", *_PASSING}:
        if node.op_type == "Add":
            stored = [name for name in node.input if name in graph.initializers]
            biases += [(name, -1) for name in stored]
            node = makers.get(next((name for name in node.input if name not in stored), ""))
        else:
            node = makers.get(node.input[0])
    weights = _weights(node) if node is not None else None
    if node is None or weights is None or weights[0] not in graph.initializers:
        step = "Name the output of its last layer with --logits."
        raise Unsupported(f"{logits!r} is not made by a layer whose classes can be changed", next_step=step)
    if len(node.input) > 2 and node.input[2] in graph.initializers:
        biases.append((node.input[2], -1))
    old = graph.initializers[weights[0]]
    generator = np.random.default_rng(classes)
    fresh = generator.standard_normal(_sized(old, weights[1], classes)) * float(old.std())
    graph.initializers[weights[0]] = fresh.astype(old.dtype)
    for name, axis in biases:
        value = graph.initializers[name]
        if value.ndim and value.shape[axis] == old.shape[weights[1]]:
            graph.initializers[name] = np.zeros(_sized(value, axis, classes), value.dtype)


def _weights(node: NodeProto) -> tuple[str, int] | None:
    """The weights of a layer, and which of their axes holds the classes."""
    if node.op_type == "Gemm":
        return node.input[1], 0 if attribute(node, "transB", 0) else 1
    return {"MatMul": (node.input[1], -1), "Conv": (node.input[1], 0)}.get(node.op_type) if len(node.input) > 1 else None


def _sized(value: Array, axis: int, size: int) -> tuple[int, ...]:
    shape = list(value.shape)
    shape[axis] = size
    return tuple(shape)
