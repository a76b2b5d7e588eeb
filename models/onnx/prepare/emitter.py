"""Writes nodes of the gradient graph: standard operators of opset 18."""

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
from onnx import NodeProto, helper

from models.onnx.prepare.graph import Array, Graph, Shape
from models.onnx.prepare.refusals import Unsupported

MOST_STORED = 1 << 24
"""The most bytes of one constant that a derivative may store: none needs a table that grows with the square of a tensor."""


class Emitter:
    """Collects nodes and constants. Every method returns the name of what it wrote.

    Names of the forward graph may be used as inputs; methods that say "value" need such a name, as they look up its shape.
    """

    def __init__(self, graph: Graph, prefix: str = "grad") -> None:
        self._graph = graph
        self._prefix = prefix
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Array] = {}

    def beside(self, prefix: str) -> "Emitter":
        """An emitter of nodes of its own, whose constants are this one's."""
        other = Emitter(self._graph, prefix)
        other._known, other.constants = self._known, self.constants
        return other

    @overload
    def op(self, op_type: str, *inputs: str, outputs: Literal[1] = 1, **attributes: Any) -> str: ...  # noqa: ANN401 -- attributes are of any kind
    @overload
    def op(self, op_type: str, *inputs: str, outputs: int, **attributes: Any) -> tuple[str, ...]: ...  # noqa: ANN401 -- likewise

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str | tuple[str, ...]:
        """One node. An attribute given as None is left out; an input "" is an optional input left out."""
        stem = f"{self._prefix}/{op_type}_{len(self.nodes)}"
        names = tuple(f"{stem}:{i}" for i in range(outputs)) if outputs > 1 else (stem,)
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op_type, list(inputs), list(names), name=stem, **kept))
        return names if outputs > 1 else names[0]

    def constant(self, value: Array) -> str:
        """A stored tensor of exactly this type and shape; equal ones are stored once."""
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        if array.nbytes > MOST_STORED:
            step = "Freeze the parameters before it with --freeze."
            raise Unsupported(f"the training graph would store a table of {array.nbytes >> 20} MB", next_step=step)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = f"{self._prefix}/constant_{len(self.constants)}"
            self.constants[self._known[key]] = array
        return self._known[key]

    def integers(self, values: Sequence[int]) -> str:
        """A constant int64 vector, as axes and shapes are given."""
        return self.constant(np.array(values, dtype=np.int64).reshape(-1))

    def number(self, value: float, like: str) -> str:
        """A constant scalar () of the element type of the value `like`."""
        return self.constant(np.array(value, dtype=self._graph.dtype(like)))

    def add(self, a: str, b: str) -> str:
        """The sum a + b."""
        return self.op("Add", a, b)

    def sub(self, a: str, b: str) -> str:
        """The difference a - b."""
        return self.op("Sub", a, b)

    def mul(self, a: str, b: str) -> str:
        """The product a * b, by element."""
        return self.op("Mul", a, b)

    def div(self, a: str, b: str) -> str:
        """The quotient a / b."""
        return self.op("Div", a, b)

    def neg(self, a: str) -> str:
        """The negative -a."""
        return self.op("Neg", a)

    def transpose(self, a: str, perm: Sequence[int]) -> str:
        """Axes in the order `perm`; nothing is written if that is the order they have."""
        return a if list(perm) == list(range(len(perm))) else self.op("Transpose", a, perm=list(perm))

    def matmul(self, a: str, b: str) -> str:
        """The matrix product a @ b."""
        return self.op("MatMul", a, b)

    def cast(self, a: str, like: str) -> str:
        """`a` in the element type of the value `like`."""
        return self.op("Cast", a, to=helper.np_dtype_to_tensor_dtype(self._graph.dtype(like)))

    def reduce_sum(self, a: str, axes: Sequence[int], *, keepdims: bool) -> str:
        """Sum over `axes`; no axes: `a` itself."""
        return self.reduce("ReduceSum", a, axes, keepdims=keepdims)

    def reduce(self, op_type: str, a: str, axes: Sequence[int], *, keepdims: bool) -> str:
        """ReduceSum, ReduceMean, ReduceMax ... over `axes`; no axes: `a` itself."""
        return self.op(op_type, a, self.integers(axes), keepdims=int(keepdims)) if axes else a

    def unsqueeze(self, a: str, axes: Sequence[int]) -> str:
        """New axes of size 1 at `axes`; none: `a` itself."""
        return self.op("Unsqueeze", a, self.integers(axes)) if axes else a

    def reshape(self, a: str, shape: Shape) -> str:
        """`a` with this shape, in which one size may follow the number of rows. For several see `reshape_to`."""
        if sum(isinstance(size, str) for size in shape) > 1:
            raise Unsupported(f"a reshape to {shape}, in which several sizes follow the number of rows")
        return self.op("Reshape", a, self.integers([-1 if isinstance(size, str) else size for size in shape]), allowzero=None)

    def reshape_to(self, a: str, like: str) -> str:
        """`a` with the shape of the value `like`."""
        return self.op("Reshape", a, self.shape_of(like, infer=True))

    def expand_to(self, a: str, like: str) -> str:
        """`a` broadcast to the shape of the value `like`."""
        return self.op("Expand", a, self.shape_of(like))

    def zeros(self, like: str) -> str:
        """Zeros of the type and shape of the value `like`, computed, not stored."""
        zero = helper.make_tensor("zero", helper.np_dtype_to_tensor_dtype(self._graph.dtype(like)), [1], [0])
        return self.op("ConstantOfShape", self.shape_of(like), value=zero)

    def added_up(self, grad: str, like: str, places: Array, *, axis: int, size: int) -> str:
        """`grad` with `size` elements along `axis`: each of its own is added where `places` says. `like` has its type and rank."""
        rank = self._graph.rank(like)
        order = [axis, *[i for i in range(rank) if i != axis]]
        rows = self.transpose(grad, order)
        sizes = self.op("Concat", self.integers([size]), self.op("Shape", rows, start=1), axis=0)
        zero = helper.make_tensor("zero", helper.np_dtype_to_tensor_dtype(self._graph.dtype(like)), [1], [0])
        zeros = self.op("ConstantOfShape", sizes, value=zero)
        added = self.op("ScatterND", zeros, self.constant(places.reshape(-1, 1).astype(np.int64)), rows, reduction="add")
        return self.transpose(added, [int(i) for i in np.argsort(order)])

    def shape_of(self, like: str, *, infer: bool = False) -> str:
        """The shape of the value `like` as an int64 vector; with `infer`, one size may be left to Reshape as -1."""
        shape = self._graph.shape(like)
        varying = sum(isinstance(size, str) for size in shape)
        if varying == 0 or (infer and varying == 1):
            return self.integers([-1 if isinstance(size, str) else size for size in shape])
        return self.op("Shape", like)

    def unbroadcast(self, grad: str, from_name: str, to_name: str) -> str:
        """`grad`, shaped as the value `from_name`, summed to the shape of the value `to_name` that was broadcast to it."""
        return self.unbroadcast_to(grad, self._graph.shape(from_name), to_name)

    def unbroadcast_to(self, grad: str, source: Shape, to_name: str) -> str:
        """`grad` of the shape `source`, summed to the shape of the value `to_name` that was broadcast to it."""
        target = self._graph.shape(to_name)
        if source == target:
            return grad
        lead = len(source) - len(target)
        stretched = [i + lead for i, size in enumerate(target) if size == 1 and source[i + lead] != 1]
        if stretched:
            grad = self.reduce_sum(grad, [*range(lead), *stretched], keepdims=True)
            return self.reshape_to(grad, to_name) if lead else grad
        return self.reduce_sum(grad, range(lead), keepdims=False)
