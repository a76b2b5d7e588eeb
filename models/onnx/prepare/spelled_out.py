"""Operators that onnxruntime has in float32 only, as arithmetic that it has in float64: for checks that need the digits."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper, shape_inference

from models.onnx.prepare.convolution_weights import views
from models.onnx.prepare.emitter import Emitter
from models.onnx.prepare.families.pooling import counts
from models.onnx.prepare.graph import BATCH, Graph
from models.onnx.prepare.model import tensor
from models.onnx.prepare.refusals import Unsupported
from models.onnx.prepare.registry import Context
from models.onnx.prepare.windows import windows

_MOST_TAPS = 64


def spell_out(model: ModelProto, values: set[str]) -> None:
    """Replace the nodes that make one of these values; those whose sizes are not known, or whose kernels are large, stay."""
    graph = _known(model)
    nodes: list[NodeProto] = []
    stored = {}
    for number, node in enumerate(model.graph.node):
        rule = _RULES.get(node.op_type) if values.intersection(node.output) else None
        emit = Emitter(graph, f"wide/{number}")
        try:
            written = rule(Context(node, [], graph, emit)) if rule else None
        except (KeyError, Unsupported):
            written = None
        if written is None:
            nodes.append(node)
        else:
            nodes += [*emit.nodes, helper.make_node("Identity", [written], [node.output[0]], name=f"wide/{number}")]
            stored.update(emit.constants)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(tensor(name, value) for name, value in stored.items())


def _known(model: ModelProto) -> Graph:
    graph: GraphProto = shape_inference.infer_shapes(model).graph
    found = Graph(list(graph.node), [], [], {})
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        found.shapes[value.name] = tuple(dim.dim_value or (BATCH if number == 0 else "?") for number, dim in enumerate(dims))
        found.dtypes[value.name] = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    for stored in graph.initializer:
        array = numpy_helper.to_array(stored)
        found.shapes[stored.name], found.dtypes[stored.name] = array.shape, array.dtype
    return found


def _conv(at: Context) -> str:
    """A sum over the taps of the kernel, a product of matrices for each."""
    emit, group = at.emit, int(at.attribute("group", 1))
    out, channels, *kernel = (int(size) for size in at.shape(1))
    if math.prod(kernel) > _MOST_TAPS:
        raise at.refusal("its kernel is large")
    laid = windows(at, kernel, at.shape(0), at.out_shape())
    steps = math.prod(laid.steps)
    weights = emit.reshape(at.input(1), (group, out // group, channels, math.prod(kernel)))
    sums = []
    for number, view in enumerate(views(emit, laid, at.input(0))):
        one = emit.op("Squeeze", emit.op("Slice", weights, *(emit.integers([i]) for i in (number, number + 1, 3))), emit.integers([3]))
        seen = emit.reshape(view, ("n", group, channels, steps))
        sums.append(emit.mul(one, seen) if channels == 1 else emit.matmul(one, seen))
        if len(sums) > 1:
            sums[:] = [emit.add(*sums)]
    found = emit.reshape(sums[0], ("n", out, *laid.steps))
    return emit.add(found, emit.reshape(at.input(2), (out, *[1] * laid.rank))) if at.input(2) else found


def _average(at: Context) -> str:
    laid = windows(at, at.attribute("kernel_shape"), at.shape(0), at.out_shape())
    total = at.emit.op("Sum", *views(at.emit, laid, at.input(0)))
    return at.emit.div(total, at.emit.constant(counts(at, laid).astype(at.graph.dtype(at.input(0)))))


def _global_average(at: Context) -> str:
    return at.emit.reduce("ReduceMean", at.input(0), list(range(2, len(at.shape(0)))), keepdims=True)


_RULES: Mapping[str, Callable[[Context], str]] = MappingProxyType(
    {"AveragePool": _average, "Conv": _conv, "GlobalAveragePool": _global_average}
)
