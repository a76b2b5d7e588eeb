"""The search for the output with the logits, and for the activation after them."""

from collections.abc import Mapping, Sequence

from onnx import NodeProto

from models.onnx.prepare.graph import Graph, attribute
from models.onnx.prepare.model import ancestors, reads
from models.onnx.prepare.refusals import Unsupported

_ACTIVATIONS: Mapping[str, str] = {"Softmax": "softmax", "LogSoftmax": "log-softmax", "Sigmoid": "sigmoid"}
_USUAL_NAMES = ("logits", "output", "probabilities")


def find_output(graph: Graph, wanted: str | None) -> str:
    """The output to train: `wanted`, or the only one that floats and stored tensors lead to. `Unsupported` lists the choice."""
    known = {name for node in graph.nodes for name in node.output}
    if wanted is not None:
        if wanted not in known or not (wanted in graph.dtypes and graph.is_float(wanted)):
            raise Unsupported(f"{wanted!r} is no value of the model with floating point numbers", next_step=_choice(graph))
        return wanted
    fitting = [name for name in graph.outputs if _trainable(graph, name)]
    usual = [name for name in _USUAL_NAMES if name in fitting]
    if len(fitting) != 1 and not usual:
        found = "several outputs could be trained" if fitting else "no output depends on stored weights and carries floats"
        raise Unsupported(f"{found}: {', '.join(fitting or graph.outputs)}", next_step=_choice(graph))
    return fitting[0] if len(fitting) == 1 else usual[0]


def strip(graph: Graph, output: str, removes: Sequence[str]) -> tuple[str, str]:
    """The value before a final activation that the loss stands in for, and that activation; `output` and "none" without one."""
    makers = {name: node for node in graph.nodes for name in node.output}
    name = output
    while (node := makers.get(name)) is not None:
        if node.op_type in removes and _over_last_axis(graph, node):
            return node.input[0], _ACTIVATIONS[node.op_type]
        if not _passes_through(graph, node):
            break
        name = node.input[0]
    return output, "none"


def _over_last_axis(graph: Graph, node: NodeProto) -> bool:
    return node.op_type == "Sigmoid" or attribute(node, "axis", -1) in {-1, graph.rank(node.input[0]) - 1}


def _passes_through(graph: Graph, node: NodeProto) -> bool:
    """True if the node gives what it takes, in the same shape."""
    if node.op_type not in {"Identity", "Reshape", "Cast", "Flatten"}:
        return False
    before, after = node.input[0], node.output[0]
    return before in graph.shapes and graph.shape(before) == graph.shape(after) and graph.dtype(before) == graph.dtype(after)


def _trainable(graph: Graph, name: str) -> bool:
    if name not in graph.dtypes or not graph.is_float(name):
        return False
    read = {one for node in ancestors(graph.nodes, [name]) for one in reads(node)}
    return any(one in graph.initializers and graph.is_float(one) for one in read)


def _choice(graph: Graph) -> str:
    return "Name one with --logits. The model's outputs: " + ", ".join(graph.outputs) + "."
