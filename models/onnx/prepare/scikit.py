"""Operators of scikit-learn exports (domain ai.onnx.ml), written with standard operators so that they train."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from onnx import ModelProto, NodeProto, helper

from models.onnx.prepare.graph import Array, Graph, attribute
from models.onnx.prepare.refusals import unsupported

DOMAIN = "ai.onnx.ml"


_WITHOUT_GRADIENT = {
    "TreeEnsembleClassifier": "decision trees", "TreeEnsembleRegressor": "decision trees", "TreeEnsemble": "decision trees",
    "SVMClassifier": "a support vector machine", "SVMRegressor": "a support vector machine",
}  # fmt: skip


def require_gradients(model: ModelProto) -> None:
    """`Unsupported` for a model of a kind that gradients cannot train, before anything else is asked of its export."""
    for node in model.graph.node:
        if node.domain == DOMAIN and node.op_type in _WITHOUT_GRADIENT:
            why = f"it is {_WITHOUT_GRADIENT[node.op_type]}, which no gradient trains"
            raise unsupported(node, why, "Fit a linear model or a neural net (LogisticRegression, MLPClassifier) and export that.")


def rewrite(graph: Graph) -> dict[str, str]:
    """Put standard operators in the place of scikit-learn's. Gives the new stored tensors that must not train, with the reason.

    A linear model's coefficients and intercepts become parameters `NODE/coefficients` and `NODE/intercepts`.
    """
    kept: dict[str, str] = {}
    nodes: list[NodeProto] = []
    for node in graph.nodes:
        rule = _RULES.get(node.op_type) if node.domain == DOMAIN else None
        nodes += [node] if rule is None else rule(node, graph, kept)
    graph.nodes[:] = nodes
    return kept


def _regressor(node: NodeProto, graph: Graph, _: dict[str, str]) -> list[NodeProto]:
    if attribute(node, "post_transform", "NONE") != "NONE":
        raise unsupported(node, "its scores are transformed", "Export a plain linear model.")
    return [_linear(node, graph, attribute(node, "targets", 1), node.output[0], 1.0)]


def _classifier(node: NodeProto, graph: Graph, _: dict[str, str]) -> list[NodeProto]:
    """Scores by Gemm, then softmax; two classes by sigmoid(z) are softmax(-z/2, z/2)."""
    classes = np.array(attribute(node, "classlabels_ints") or np.array(attribute(node, "classlabels_strings"), dtype=object))
    transform, factor = attribute(node, "post_transform", "NONE"), 1.0
    if transform == "LOGISTIC":
        if not _mirrored(node, len(classes)):
            raise unsupported(node, "each class has a sigmoid of its own", "Fit a multinomial model: its classes share one softmax.")
        factor = 0.5
    elif transform != "SOFTMAX":
        raise unsupported(node, f"its scores become {transform}, not probabilities", "Export a model that gives probabilities.")
    scores, index, names = f"{node.name}/scores", f"{node.name}/index", f"{node.name}/classes"
    graph.initializers[names] = classes
    return [
        _linear(node, graph, len(classes), scores, factor),
        helper.make_node("Softmax", [scores], [node.output[1]], name=f"{node.name}/softmax", axis=-1),
        helper.make_node("ArgMax", [scores], [index], name=index, axis=1, keepdims=0),
        helper.make_node("Gather", [names, index], [node.output[0]], name=f"{node.name}/label"),
    ]


def _linear(node: NodeProto, graph: Graph, rows: int, output: str, factor: float) -> NodeProto:
    weights, offsets = f"{node.name}/coefficients", f"{node.name}/intercepts"
    graph.initializers[weights] = _floats(node, "coefficients").reshape(rows, -1) * np.float32(factor)
    graph.initializers[offsets] = (np.zeros(rows, np.float32) + _floats(node, "intercepts")) * np.float32(factor)
    return helper.make_node("Gemm", [node.input[0], weights, offsets], [output], name=f"{node.name}/gemm", transB=1)


def _floats(node: NodeProto, name: str) -> Array:
    return np.array(attribute(node, name) or [0.0], dtype=np.float32)


def _mirrored(node: NodeProto, classes: int) -> bool:
    """True if this is one score z for two classes, stored as -z and z."""
    weights, offsets = _floats(node, "coefficients"), _floats(node, "intercepts")
    return classes == 2 and all(np.array_equal(first, -second) for first, second in (np.split(weights, 2), _halves(offsets)))


def _halves(offsets: Array) -> tuple[Array, Array]:
    return (offsets[:1], offsets[1:]) if offsets.size == 2 else (offsets, -offsets)


def _scaler(node: NodeProto, graph: Graph, kept: dict[str, str]) -> list[NodeProto]:
    offset, scale, centred = (f"{node.name}/{word}" for word in ("offset", "scale", "centred"))
    graph.initializers |= {offset: _floats(node, "offset"), scale: _floats(node, "scale")}
    kept |= dict.fromkeys((offset, scale), "a scaler's statistics")
    return [
        helper.make_node("Sub", [node.input[0], offset], [centred], name=centred),
        helper.make_node("Mul", [centred, scale], [node.output[0]], name=f"{node.name}/scaled"),
    ]


def _normalizer(node: NodeProto, graph: Graph, _: dict[str, str]) -> list[NodeProto]:
    """Probabilities of a linear classifier have the sum 1 already."""
    maker = next((other for other in graph.nodes if node.input[0] in other.output), None)
    if maker is None or maker.op_type != "LinearClassifier" or attribute(node, "norm", "MAX") != "L1":
        return [node]
    return [helper.make_node("Identity", node.input, node.output, name=f"{node.name}/same")]


def _extractor(node: NodeProto, graph: Graph, _: dict[str, str]) -> list[NodeProto]:
    """Class names by number."""
    if graph.initializers.get(node.input[0], np.zeros((1, 1))).ndim != 1:
        return [node]
    return [helper.make_node("Gather", node.input, node.output, name=f"{node.name}/picked")]


def _zipmap(node: NodeProto, graph: Graph, _: dict[str, str]) -> list[NodeProto]:
    """The probabilities that it packs into maps become the output."""
    graph.outputs[:] = [node.input[0] if name == node.output[0] else name for name in graph.outputs]
    return []


_RULES: Mapping[str, Callable[[NodeProto, Graph, dict[str, str]], list[NodeProto]]] = MappingProxyType(
    {
        "ArrayFeatureExtractor": _extractor,
        "LinearClassifier": _classifier,
        "LinearRegressor": _regressor,
        "Normalizer": _normalizer,
        "Scaler": _scaler,
        "ZipMap": _zipmap,
    }
)
