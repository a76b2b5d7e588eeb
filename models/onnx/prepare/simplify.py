"""Rewrites that make training mean what the file means: before shapes are known."""

from collections.abc import Iterable, Sequence

import numpy as np
from onnx import NodeProto, helper, numpy_helper

from models.onnx.prepare.graph import Graph, attribute
from models.onnx.prepare.model import reads
from models.onnx.prepare.reading import stored_value


def simplify(graph: Graph, *, dropout: bool) -> None:
    """Dropout goes unless it is asked for; BatchNormalization keeps its statistics, whatever mode it was exported in."""
    for node in list(graph.nodes):
        if node.op_type == "BatchNormalization":
            _keep_statistics(node)
        elif node.op_type == "Dropout" and not dropout:
            graph.nodes.remove(node)
            rename(graph, node.output[0], node.input[0])
        elif node.op_type == "Dropout":
            del node.input[2:]  # inference, until `drop` says otherwise
            del node.output[1:]


def as_inference(nodes: Iterable[NodeProto]) -> None:
    """Let normalisations keep their statistics and dropout pass everything, in a file that was exported in training mode."""
    for node in nodes:
        if node.op_type == "BatchNormalization":
            _keep_statistics(node)
        elif node.op_type == "Dropout":
            del node.input[2:]


def drop(graph: Graph, nodes: Sequence[NodeProto]) -> None:
    """Turn dropout on in these nodes, with a mask that its derivative asks for."""
    on = "dropout/on"
    for node in nodes:
        if node.op_type == "Dropout":
            graph.constants[on] = np.array(True)
            node.input[:] = [*node.input, *[""] * (2 - len(node.input)), on]


def static_batch(graph: Graph, batch: int) -> None:
    """For a file exported with `batch` rows: let reshapes that count on it take any number of rows."""
    for node in graph.nodes:
        target = graph.initializers.get(node.input[1]) if node.op_type == "Reshape" else None
        if target is not None and target.size and target[0] == batch and (target.all() or not attribute(node, "allowzero", 0)):
            del node.attribute[:]  # allowzero, which a target without zeros does not need
            free = target.copy()
            free[0] = 0 if -1 in target[1:] else -1
            node.input[1] = f"{node.input[1]}/rows"
            graph.initializers[node.input[1]] = free


def inline_constant_branches(graph: Graph) -> bool:
    """Put the chosen branch of each If with a constant condition in its place; whether there was one."""
    nodes: list[NodeProto] = []
    for node in graph.nodes:
        condition = graph.constants.get(node.input[0]) if node.op_type == "If" else None
        if condition is None:
            nodes.append(node)
            continue
        branch = attribute(node, "then_branch" if condition.any() else "else_branch")
        for stored in branch.initializer:
            graph.initializers[stored.name] = numpy_helper.to_array(stored)
        for inner in branch.node:
            if inner.op_type == "Constant":
                graph.initializers[inner.output[0]] = stored_value(inner)
            else:
                nodes.append(inner)
        nodes += [
            helper.make_node("Identity", [inner.name], [outer], name=f"{node.name}/{outer}")
            for inner, outer in zip(branch.output, node.output, strict=True)
        ]
    changed = len(nodes) != len(graph.nodes) or any(a is not b for a, b in zip(nodes, graph.nodes, strict=True))
    graph.nodes[:] = nodes
    return changed


def rename(graph: Graph, old: str, new: str) -> None:
    """Every reader of `old` reads `new`; an output of the graph keeps its name."""
    if old in graph.outputs or any(old in reads(node) and old not in node.input for node in graph.nodes):
        graph.nodes.append(helper.make_node("Identity", [new], [old], name=f"{old}/same"))
    for node in graph.nodes:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def _keep_statistics(node: NodeProto) -> None:
    for one in list(node.attribute):
        if one.name in {"training_mode", "momentum"}:
            node.attribute.remove(one)
    del node.output[1:]
