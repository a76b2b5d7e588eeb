"""The use that a graph makes of a stored tensor: a parameter if a layer uses it as a weight or bias, else a constant with its reason."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from onnx import NodeProto

from models.onnx.prepare import constants
from models.onnx.prepare.graph import Graph
from models.onnx.prepare.model import reads

# The inputs of an operator that hold weights.
_WEIGHTS = {
    "BatchNormalization": {1, 2},
    "Conv": {1, 2},
    "ConvTranspose": {1, 2},
    "Einsum": {0, 1},
    "GRU": {1, 2, 3, 5},
    "Gemm": {0, 1, 2},
    "GroupNormalization": {1, 2},
    "InstanceNormalization": {1, 2},
    "LSTM": {1, 2, 3, 5, 6, 7},
    "LayerNormalization": {1, 2},
    "MatMul": {0, 1},
    "PRelu": {1},
    "RNN": {1, 2, 3, 5},
}
_PRODUCTS = {"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"}
# Inputs that set how an operator works.
_SETTINGS = {
    "BatchNormalization": {3: "a running mean", 4: "a running variance"},
    "Clip": dict.fromkeys((1, 2), "a bound"),
    "Div": {1: "a divisor"},
    "Dropout": {1: "a ratio"},
    "Max": dict.fromkeys(range(8), "a bound"),
    "Min": dict.fromkeys(range(8), "a bound"),
    "OneHot": {2: "two values of an encoding"},
    "Pad": {2: "a padding value"},
    "Pow": {1: "an exponent"},
    "Range": dict.fromkeys((0, 1, 2), "a range"),
    "Resize": dict.fromkeys((1, 2), "a scale"),
    "Sub": {1: "a mean that is taken off"},
    "Where": dict.fromkeys((1, 2), "a fill value"),
}
_CARRIERS = {
    "Cast", "CastLike", "Concat", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
_MAGNITUDES = {"Abs", "Log", "Pow", "ReduceL2", "ReduceSumSquare", "Sqrt"}
_STATES = {"GRU": {5}, "LSTM": {5, 6}, "RNN": {5}}


@dataclass(frozen=True, slots=True)
class Use:
    """A place where a stored tensor meets something else: the operator and its input; `hidden`: what it meets depends on a weight."""

    node: NodeProto
    index: int
    hidden: bool

    @property
    def is_weight(self) -> bool:
        """True if the operator takes a weight or bias there."""
        return self.index in _WEIGHTS.get(self.node.op_type, ()) or self.node.op_type == "Gather"

    @property
    def is_offset(self) -> bool:
        """True if the tensor is added to, joined to or multiplied with values that depend on a weight: a bias, a token, a scale."""
        return self.hidden and self.node.op_type in {"Add", "Sum", "Mul", "Concat"}


@dataclass
class Uses:
    """The uses of every stored tensor of floats, by name, in running order; `reasons` has "" for a parameter."""

    graph: Graph
    kept: dict[str, str]
    places: dict[str, list[Use]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    _carried: dict[str, list[str]] = field(default_factory=dict)
    _hidden: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        floats = {name: [name] for name, value in self.graph.initializers.items() if value.dtype.kind == "f"}
        self.places, self._carried = {name: [] for name in floats}, dict(floats)
        readers = _readers(self.graph)
        for node in self.graph.nodes:
            self._pass(node, readers)
        for name in floats:
            self.reasons.setdefault(name, self.kept.get(name) or self._leftover(name))

    def layers(self, name: str) -> int:
        """The number of operators that use a tensor as a weight."""
        return len({id(use.node) for use in self.places[name] if use.is_weight or use.is_offset})

    def _pass(self, node: NodeProto, readers: dict[str, list[NodeProto]]) -> None:
        known = self.graph.constants.keys() | self._carried.keys()
        inputs = [name for name in reads(node) if name]
        if _carries(node, self.graph) and all(name in known for name in (inputs if node.op_type == "Concat" else inputs[:1])):
            names = [one for name in node.input for one in self._carried.get(name, [])]
            self._carried.update({name: names for name in node.output if names})
            return
        hidden = bool(self._hidden.intersection(inputs))
        for index, name in enumerate(node.input):
            for stored in self._carried.get(name, []):
                self.places[stored].append(Use(node, index, hidden))
                hidden |= self._judge(stored, self.places[stored][-1], readers)
        if hidden:
            self._hidden.update(node.output)
        elif all(name in known for name in inputs) and any(name in self._carried for name in inputs):
            self._derive(node)

    def _derive(self, node: NodeProto) -> None:
        """Arithmetic among stored tensors: a root of one with a small number added is a deviation, all else still carries weights."""
        names = [one for name in node.input for one in self._carried.get(name, []) if self.graph.initializers[one].size > 1]
        if node.op_type == "Sqrt":
            self.reasons.update({one: "a running variance" for one in names if one not in self.reasons})
        self._carried.update({name: names for name in node.output if names})

    def _judge(self, name: str, use: Use, readers: dict[str, list[NodeProto]]) -> bool:
        """Set the reason of a tensor by one more use; True if it is a parameter there."""
        value = self.graph.initializers[name]
        if self.kept.get(name) or not (use.is_weight or use.is_offset):
            return False
        if name in self.reasons:
            return not self.reasons[name]
        state = use.index in _STATES.get(use.node.op_type, ())
        why = constants.by_value(value, state=state, added=use.node.op_type in {"Add", "Sum", "Mul"})
        if not why and use.node.op_type in _PRODUCTS and not use.hidden and use.index < 2:
            why = "a fixed transform of the input" if _magnitudes(use.node, self.graph, readers) else constants.of_front_end(value)
        if not why and value.size == 1 and not use.is_weight and not _follows_product(use.node, self.graph):
            why = "a single number"
        self.reasons[name] = why
        return not why

    def _leftover(self, name: str) -> str:
        """The reason why a tensor that no layer uses as a weight stays as it is."""
        value, uses = self.graph.initializers[name], self.places[name]
        settings = [_SETTINGS.get(use.node.op_type, {}).get(use.index) for use in uses]
        if settings and all(settings):
            return str(settings[0])
        if value.size <= 1:
            return "a single number" if value.size else "no values"
        found = constants.by_value(value, state=False, added=True)
        where = uses[0].node.op_type if uses else "nothing"
        return found or f"used by {where} on the input alone, as no layer uses a weight"


def _carries(node: NodeProto, graph: Graph) -> bool:
    """True if the node only moves its first input, or joins all of them."""
    return node.op_type in _CARRIERS or (node.op_type == "Gather" and node.input[1] in graph.constants)


def _readers(graph: Graph) -> dict[str, list[NodeProto]]:
    found: dict[str, list[NodeProto]] = {}
    for node in graph.nodes:
        for name in reads(node):
            found.setdefault(name, []).append(node)
    return found


def _magnitudes(node: NodeProto, graph: Graph, readers: dict[str, list[NodeProto]]) -> bool:
    """True if all that becomes of a product without a bias is that it is squared, rooted or logged, as a spectrum is."""
    ends = list(_ends(node.output[0], graph, readers, {node.output[0]}))
    return bool(ends) and all(ends) and not (len(node.input) > 2 and node.input[2])


def _ends(name: str, graph: Graph, readers: dict[str, list[NodeProto]], seen: set[str]) -> Iterator[bool]:
    for reader in readers.get(name, []):
        carried = _carries(reader, graph) or (reader.op_type in {"Add", "Max", "Clip", "Mul"} and _with_number(reader, name, graph))
        if reader.op_type in _MAGNITUDES or (reader.op_type == "Mul" and reader.input[0] == reader.input[1]):
            yield True
        elif carried and reader.op_type != "Shape":
            for output in set(reader.output) - seen:
                seen.add(output)
                yield from _ends(output, graph, readers, seen)
        else:
            yield False


def _with_number(node: NodeProto, name: str, graph: Graph) -> bool:
    others = [graph.initializers.get(one, graph.constants.get(one)) for one in node.input if one and one != name]
    return all(one is not None and one.size == 1 for one in others)


def _follows_product(node: NodeProto, graph: Graph) -> bool:
    made = {output: one for one in graph.nodes for output in one.output}
    for name in node.input:
        maker = made.get(name)
        while maker is not None and _carries(maker, graph):
            maker = made.get(maker.input[0])
        if node.op_type == "Add" and maker is not None and maker.op_type in _PRODUCTS:
            return True
    return False


def is_spelled_out(graph: Graph, name: str) -> bool:
    """True if this is the scale of ones or the bias of zeros by which exporters normalise reshaped groups; the true ones follow."""
    value = graph.initializers[name]
    reshaped = {node.output[0] for node in graph.nodes if node.op_type == "Reshape"}
    return any(
        node.op_type == "InstanceNormalization" and node.input[0] in reshaped and bool(np.all(value == neutral))
        for node in graph.nodes
        for index, neutral in ((1, 1.0), (2, 0.0))
        if len(node.input) > index and node.input[index] == name
    )
