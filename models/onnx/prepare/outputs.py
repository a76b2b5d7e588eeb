"""The search for the output to train."""

from models.onnx.prepare.graph import Graph
from models.onnx.prepare.model import ancestors, reads
from models.onnx.prepare.refusals import Unsupported

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


def _trainable(graph: Graph, name: str) -> bool:
    if name not in graph.dtypes or not graph.is_float(name):
        return False
    read = {one for node in ancestors(graph.nodes, [name]) for one in reads(node)}
    return any(one in graph.initializers and graph.is_float(one) for one in read)


def _choice(graph: Graph) -> str:
    return "Name one with --logits. The model's outputs: " + ", ".join(graph.outputs) + "."
