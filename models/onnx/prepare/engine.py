"""The reverse pass. It knows no operator: derivatives come from the registry."""

from collections.abc import Mapping, Sequence

from onnx import NodeProto

from models.onnx.prepare.emitter import Emitter
from models.onnx.prepare.graph import Graph
from models.onnx.prepare.model import reads
from models.onnx.prepare.registry import Context, Derivative


def differentiate(
    graph: Graph, nodes: Sequence[NodeProto], seeds: Mapping[str, str], emit: Emitter, derivatives: Mapping[str, Derivative]
) -> dict[str, str]:
    """Names of the gradients of all `graph.parameters` that the seeded values depend on.

    `nodes` in running order; `seeds` gives the gradients that arrive from outside, by value. `Unsupported` names the first
    node from the end that lies on a parameter's path and has no derivative.
    """
    moving = _depending(graph, nodes)
    arrived: dict[str, list[str]] = {name: [seed] for name, seed in seeds.items()}
    for node in reversed(nodes):
        if not moving.intersection(node.output) or not any(name in arrived for name in node.output):
            continue
        upstream = [_sum(arrived.get(name, []), emit) for name in node.output]
        rule = derivatives.get(node.op_type) if node.domain in {"", "ai.onnx"} else None
        for name, gradient in _back(Context(node, upstream, graph, emit, frozenset(moving.intersection(node.input))), rule):
            arrived.setdefault(name, []).append(gradient)
    return {name: total for name in graph.parameters if (total := _sum(arrived.get(name, []), emit)) is not None}


def _depending(graph: Graph, nodes: Sequence[NodeProto]) -> set[str]:
    """Values with a derivative by some parameter: floats computed from one."""
    moving = set(graph.parameters)
    for node in nodes:
        if moving.intersection(reads(node)):
            moving.update(name for name in node.output if name not in graph.dtypes or graph.is_float(name))
    return moving - {""}


def _back(at: Context, derivative: Derivative | None) -> list[tuple[str, str]]:
    """Pairs of an input and what arrives there from this node."""
    if derivative is None:
        why = "it lies between a parameter and the loss, and this operator has no derivative here"
        step = "docs/onnx.md lists the operators that train. Export without it, or freeze the parameters before it with --freeze."
        raise at.refusal(why, step)
    inputs = list(at.node.input)
    gradients = derivative(at)
    if len(gradients) != len(inputs):
        raise AssertionError(f"{at.node.op_type}: {len(gradients)} gradients for {len(inputs)} inputs")
    pairs = [(name, gradient) for name, gradient in zip(inputs, gradients, strict=True) if gradient is not None and name in at.wanted]
    missed = at.wanted - {name for name, _ in pairs}
    if missed:
        raise at.refusal(f"no gradient flows to its input {', '.join(sorted(missed))}", "Freeze the parameters before it with --freeze.")
    return pairs


def _sum(gradients: list[str], emit: Emitter) -> str | None:
    """Their sum, computed once: the list then holds it alone."""
    if len(gradients) > 1:
        gradients[:] = [emit.op("Sum", *gradients)]
    return gradients[0] if gradients else None
