"""The derivatives, by operator."""

import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from onnx import NodeProto

from models.onnx.prepare import families
from models.onnx.prepare.emitter import Emitter
from models.onnx.prepare.graph import Array, Graph, Shape, attribute
from models.onnx.prepare.refusals import Unsupported, unsupported


@dataclass
class Context:
    """One node on the way back.

    `outputs_grads`: upstream gradient per output of the node, None where none arrives; at least one is there, and each has
    the shape and type of its output. `wanted`: the input names whose gradients are asked for; others may be computed or
    None. Only `node`'s missing outputs may be added to, with `output`.
    """

    node: NodeProto
    outputs_grads: list[str | None]
    graph: Graph
    emit: Emitter
    wanted: frozenset[str] = field(default_factory=frozenset)

    @property
    def grad(self) -> str:
        """The upstream gradient of the first output. Refuses the node if there is none."""
        if self.outputs_grads[0] is None:
            raise self.refusal("only a secondary output is used")
        return self.outputs_grads[0]

    def input(self, index: int) -> str:
        """Name of input `index`, "" where it is left out."""
        return str(self.node.input[index]) if index < len(self.node.input) else ""

    def wants(self, index: int) -> bool:
        """True if the gradient of input `index` is asked for."""
        return self.input(index) in self.wanted

    def shape(self, index: int) -> Shape:
        """Shape of input `index`."""
        return self.graph.shape(self.input(index))

    def out_shape(self) -> Shape:
        """Shape of the first output."""
        return self.graph.shape(self.node.output[0])

    def constant(self, index: int) -> Array | None:
        """Constant value of input `index`; None where it is left out or not constant."""
        return self.graph.constant(self.input(index))

    def need_constant(self, index: int, what: str) -> Array:
        """As `constant`. Refuses the node where there is none."""
        value = self.constant(index)
        if value is None:
            raise self.refusal(f"its {what} (input {index}) is not a constant")
        return value

    def attribute(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 -- attributes are of any kind
        """An attribute of the node as int, float, str or list, or `default`."""
        return attribute(self.node, name, default)

    def output(self, index: int) -> str:
        """Name of output `index` of the forward node, which is made to give it if it does not yet."""
        while len(self.node.output) <= index:
            self.node.output.append("")
        if not self.node.output[index]:
            self.node.output[index] = f"{self.node.output[0]}/output_{index}"
        return str(self.node.output[index])

    def number(self, value: float) -> str:
        """A constant scalar of the element type of the first output."""
        return self.emit.number(value, self.node.output[0])

    def refusal(self, why: str, next_step: str = "") -> Unsupported:
        """An error to raise: this node cannot be trained through."""
        return unsupported(self.node, why, next_step)


Derivative = Callable[[Context], Sequence[str | None]]
"""Gives the gradients' names, one per input of the node, None where no gradient flows."""

_DERIVATIVES: dict[str, Derivative] = {}


def derivative(*op_types: str) -> Callable[[Derivative], Derivative]:
    """Register the decorated function for these operators of opset 18. An operator has one derivative."""

    def register(function: Derivative) -> Derivative:
        for op_type in op_types:
            if op_type in _DERIVATIVES:
                raise ValueError(f"{op_type} has a derivative already")
            _DERIVATIVES[op_type] = function
        return function

    return register


def load() -> Mapping[str, Derivative]:
    """All derivatives, by operator, after importing every family."""
    for name in _families():
        import_module(name)
    return dict(sorted(_DERIVATIVES.items()))


def _families() -> Iterator[str]:
    return (f"{families.__name__}.{module.name}" for module in pkgutil.iter_modules(families.__path__))
