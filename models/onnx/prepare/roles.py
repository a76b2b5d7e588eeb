"""The roles of stored tensors: parameters, or constants with the reason why they stay as they are."""

from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import numpy as np

from models.onnx.manifest import Frozen
from models.onnx.prepare.graph import Array, Graph
from models.onnx.prepare.refusals import Unsupported

# Inputs that set how an operator works, by operator; all others may hold weights.
_SETTINGS = {
    "BatchNormalization": {3: "a running mean", 4: "a running variance"},
    "Clip": dict.fromkeys((1, 2), "a bound"),
    "Pad": {2: "a padding value"},
    "Resize": dict.fromkeys((1, 2), "a scale"),
    "Dropout": {1: "a ratio"},
    "Pow": {1: "an exponent"},
    "OneHot": {2: "two values of an encoding"},
    "Range": dict.fromkeys((0, 1, 2), "a range"),
    "Where": dict.fromkeys((1, 2), "a fill value"),
    "Max": dict.fromkeys(range(8), "a bound"),
    "Min": dict.fromkeys(range(8), "a bound"),
}
_CARRIERS = {"Cast", "Concat", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
_WEIGHTS = {"MatMul", "Gemm", "Conv", "ConvTranspose", "BatchNormalization", "LayerNormalization", "InstanceNormalization", "PRelu"}


def untie(graph: Graph) -> None:
    """Give each use of a stored tensor whose values are all equal a copy of its own, `NAME`, `NAME.2`, ...

    Exporters store equal tensors once, and fresh normalisation scales and biases are equal; tied weights never are constant.
    """
    uses: Counter[str] = Counter()
    for node in graph.nodes:
        for index, name in enumerate(node.input):
            value = graph.initializers.get(name)
            if value is not None and value.dtype.kind == "f" and value.size > 1 and (value == value.flat[0]).all():
                uses[name] += 1
                if uses[name] > 1:
                    copy = f"{name}.{uses[name]}"
                    graph.initializers[copy] = value.copy()
                    node.input[index] = copy


def choose(graph: Graph, relevant: set[str], freeze: Sequence[str], train: Sequence[str], kept: dict[str, str]) -> list[Frozen]:
    """Set `graph.parameters`, in the file's order, and say what is frozen and why.

    `relevant` are the values that the loss depends on, `kept` names with reasons that always stay. With `train`, only names
    that match one of its patterns are trained; `freeze` wins over it. `Unsupported` if a pattern matches nothing or no
    parameter is left.
    """
    reasons = {name: kept.get(name) or _setting(graph, name, value) for name, value in graph.initializers.items() if name in relevant}
    floats = {name: why for name, why in reasons.items() if graph.initializers[name].dtype.kind == "f"}
    candidates = [name for name, why in floats.items() if not why]
    for pattern in [*freeze, *train]:
        if not any(fnmatchcase(name, pattern) for name in candidates):
            step = "Trainable are: " + ", ".join(candidates) + "."
            raise Unsupported(f"the pattern {pattern!r} matches no trainable parameter", next_step=step)
    for name in candidates:
        if any(fnmatchcase(name, pattern) for pattern in freeze):
            floats[name] = "frozen by --freeze"
        elif train and not any(fnmatchcase(name, pattern) for pattern in train):
            floats[name] = "not named by --train"
    graph.parameters = [name for name, why in floats.items() if not why]
    if not graph.parameters:
        raise Unsupported("the model has no trainable parameter", next_step="See `hushfleet model inspect` for what it holds, and why.")
    return [Frozen(name, graph.initializers[name].shape, why) for name, why in floats.items() if why]


def _setting(graph: Graph, name: str, value: Array) -> str:
    """The reason why this tensor is no parameter, or "" if it is one."""
    places = list(_places(graph, name))
    settings = [_SETTINGS.get(op_type, {}).get(index) for op_type, index in places]
    if places and all(settings):
        return str(settings[0])
    if _spelled_out(graph, name, value):
        return "a part of a group normalisation spelled out"
    weight = any(op_type in _WEIGHTS for op_type, _ in places)
    if value.size == 0:
        return "no values"
    if value.ndim == 0 or (value.size == 1 and not weight and not _after_product(graph, name)):
        return "a single number"
    if not np.isfinite(value).all():
        return "a mask with infinite values"
    return ""


def _spelled_out(graph: Graph, name: str, value: Array) -> bool:
    """True if this is the scale of ones or the bias of zeros by which exporters normalise reshaped groups; the true ones follow."""
    reshaped = {node.output[0] for node in graph.nodes if node.op_type == "Reshape"}
    return any(
        node.op_type == "InstanceNormalization" and node.input[0] in reshaped and bool((value == neutral).all())
        for node in graph.nodes
        for index, neutral in ((1, 1.0), (2, 0.0))
        if len(node.input) > index and node.input[index] == name
    )


def _places(graph: Graph, name: str) -> Iterator[tuple[str, int]]:
    """The operators that use a value and at which input, looking through those that only carry it on."""
    for node in graph.nodes:
        for index, one in enumerate(node.input):
            if one == name and node.op_type in _CARRIERS:
                yield from _places(graph, node.output[0])
            elif one == name:
                yield node.op_type, index


def _after_product(graph: Graph, name: str) -> bool:
    products = {node.output[0] for node in graph.nodes if node.op_type in _WEIGHTS}
    return any(node.op_type == "Add" and name in node.input and products.intersection(node.input) for node in graph.nodes)
