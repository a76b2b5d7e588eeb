"""Between a `Graph` and an ONNX file of opset 18, IR 8; and running one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from models.onnx.prepare.graph import Array, Graph

OPSET, IR_VERSION = 18, 8


def declare(name: str, dtype: np.dtype[Any], shape: Sequence[int | str | None]) -> ValueInfoProto:
    """An input or output as a file declares it."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), list(shape))


def write(
    name: str,
    nodes: Iterable[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    stored: Mapping[str, Array],
) -> ModelProto:
    """A model file of these parts; only the stored tensors that a node or an output reads are kept."""
    nodes = list(nodes)
    read = {name for node in nodes for name in reads(node)} | {output.name for output in outputs}
    tensors = [tensor(name, value) for name, value in stored.items() if name in read]
    graph = helper.make_graph(nodes, name, list(inputs), list(outputs), initializer=tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="hushfleet")


def tensor(name: str, value: Array) -> TensorProto:
    """A stored tensor."""
    return numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name)


def reads(node: NodeProto) -> list[str]:
    """Names that a node reads, those that its subgraphs read from outside included."""
    names = [name for name in node.input if name]
    for one in node.attribute:
        for graph in [one.g] if one.HasField("g") else one.graphs:
            names += _outer(graph)
    return names


def _outer(graph: GraphProto) -> list[str]:
    inner = {value.name for value in graph.input} | {value.name for value in graph.initializer}
    read: list[str] = []
    for node in graph.node:
        read += [name for name in reads(node) if name not in inner]
        inner.update(node.output)
    return read + [value.name for value in graph.output if value.name not in inner]


def ancestors(nodes: Sequence[NodeProto], wanted: Iterable[str]) -> list[NodeProto]:
    """The nodes that the wanted values need, in order."""
    needed, kept = set(wanted), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(reads(node))
    return kept[::-1]


def forward_model(graph: Graph, outputs: Sequence[str]) -> ModelProto:
    """The graph as a file with these values as outputs; all parameters stored."""
    inputs = [declare(name, graph.dtypes[name], graph.shapes[name]) for name in graph.inputs]
    nodes = ancestors(graph.nodes, outputs)
    made = {name for node in nodes for name in node.output}
    stored = {name: value for name, value in {**graph.constants, **graph.initializers}.items() if name not in made}
    return write("forward", nodes, inputs, [ValueInfoProto(name=name) for name in outputs], stored)


def session(model: ModelProto | bytes, *, optimise: bool = True) -> onnxruntime.InferenceSession:
    """One thread, quiet. Raises what onnxruntime raises for a file that it cannot run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=False)
