"""The refusals of what cannot be made trainable, as errors that name the node, its operator and what to do."""

from onnx import NodeProto

from hushfleet.errors import LocalError, Refusal


class Unsupported(LocalError):
    """A graph or a node that cannot be trained. `node` and `operator` are empty where the graph as a whole is meant."""

    def __init__(self, message: str, *, node: str = "", operator: str = "", next_step: str = "") -> None:
        super().__init__(Refusal.MODEL_UNSUPPORTED, message, next_step=next_step)
        self.node = node
        self.operator = operator


def unsupported(node: NodeProto, why: str, next_step: str = "") -> Unsupported:
    """The refusal of one node."""
    name = node.name or (node.output[0] if node.output else "?")
    return Unsupported(f"node {name!r} ({node.op_type}): {why}", node=name, operator=node.op_type, next_step=next_step)
