"""Forward nodes that train sooner when they are written otherwise: for `train.onnx`, `infer.onnx` keeps the file's own."""

from collections.abc import Sequence

from onnx import NodeProto

from models.onnx.prepare import depthwise
from models.onnx.prepare.emitter import Emitter
from models.onnx.prepare.graph import Graph
from models.onnx.prepare.registry import Context
from models.onnx.prepare.windows import windows


def quicker(graph: Graph, nodes: Sequence[NodeProto], emit: Emitter) -> list[NodeProto]:
    """The same values under the same names, in running order. Constants go to `emit`.

    Expects nodes that are differentiated already: a trained convolution then has fixed spatial sizes.
    """
    written: list[NodeProto] = []
    for number, node in enumerate(nodes):
        # weights that stay as they are onnxruntime lays out anew, which is quicker still
        if node.op_type == "Conv" and node.domain in {"", "ai.onnx"} and node.input[1] in graph.parameters:
            written += _convolution(Context(node, [], graph, emit.beside(f"forward/{number}")))
        else:
            written.append(node)
    return written


def _convolution(context: Context) -> list[NodeProto]:
    """Depthwise over small planes as products of matrices: onnxruntime would run a tiny product per row and channel."""
    node, emit = context.node, context.emit
    laid = windows(context, [int(size) for size in context.shape(1)[2:]], context.shape(0), context.out_shape())
    if not (depthwise.suits(context, laid) and depthwise.is_one_block(laid)):
        return [node]
    given = depthwise.forward(context, laid)
    if context.input(2):
        given = emit.add(given, emit.unsqueeze(context.input(2), [1, 2]))
    emit.nodes[-1].output[0] = node.output[0]
    return emit.nodes
