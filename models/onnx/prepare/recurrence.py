"""One direction of a recurrent layer, with time running forward: what its derivative reads and writes.

onnxruntime runs the layer itself; its gates follow for all steps at once from the layer's own outputs, and only what goes back
through time is a Scan. Shapes: steps t, rows n, inputs i, hidden h, gates g.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, helper

from models.onnx.prepare.registry import Context


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A Scan over axis 0: states as (name, first value, next value's name in the body), scanned values by name, and what it gives."""

    nodes: Sequence[NodeProto]
    states: Sequence[tuple[str, str, str]]
    scanned: Sequence[tuple[str, str]]
    gives: Sequence[str]


class Direction:
    """The layer's values in one direction: `x` (t, n, i), `y` and `before` (t, n, h), `w` (g h, i), `r` (g h, h), biases (g h,) or ""."""

    def __init__(self, at: Context, number: int, *, back: bool, gates: int) -> None:
        self.at, self.emit, self.number, self.back, self.gates = at, at.emit, number, back, gates
        self.hidden = int(at.shape(2)[2])
        self.lengths = self._lengths()
        self.x = self.turned(at.input(0))
        self.w, self.r = (self.own(at.input(index), 0) for index in (1, 2))
        self.y = self.turned(self.own(at.output(0), 1))
        self.first = self.own(at.input(5), 0) if at.input(5) else self.nothing()
        self.before = self.shifted(self.first, self.y)
        self.w_bias, self.r_bias = self._biases()

    def own(self, name: str, axis: int) -> str:
        """This direction's part of a value."""
        return self.emit.op("Gather", name, self.emit.constant(np.array(self.number)), axis=axis)

    def turned(self, name: str) -> str:
        """A value (t, n, ...) with its time turned round in the direction that reads from the end; each row by its own length."""
        if not self.back:
            return name
        if self.lengths:
            return self.emit.op("ReverseSequence", name, self.lengths, batch_axis=1, time_axis=0)
        one = self.emit.integers
        return self.emit.op("Slice", name, one([-1]), one([-(2**31)]), one([0]), one([-1]))

    def counted(self) -> str:
        """1 where a step belongs to its row, else 0: (t, n, 1); "" where all rows are of full length."""
        steps = self.at.shape(0)[0]
        if not self.lengths:
            return ""
        if isinstance(steps, str):
            raise self.at.refusal("the number of its steps is not fixed", "Give it a number with --size.")
        times = self.emit.constant(np.arange(steps).reshape(-1, 1, 1))
        return self.cast(self.emit.op("Less", times, self.emit.unsqueeze(self.lengths, [0, 2])))

    def nothing(self) -> str:
        """Zeros (n, h)."""
        rows = self.emit.op("Shape", self.at.input(0), start=1, end=2)
        shape = self.emit.op("Concat", rows, self.emit.integers([self.hidden]), axis=0)
        return self.emit.op("Expand", self.scalar(0), shape)

    def shifted(self, first: str, values: str) -> str:
        """The value before each step."""
        one = self.emit.integers
        kept = self.emit.op("Slice", values, one([0]), one([-1]), one([0]))
        return self.emit.op("Concat", self.emit.unsqueeze(first, [0]), kept, axis=0)

    def product(self, values: str, weights: str, bias: str) -> str:
        """The sums values weights^T + bias, for every step at once."""
        found = self.emit.matmul(values, self.emit.transpose(weights, [1, 0]))
        return self.emit.add(found, bias) if bias else found

    def parts(self, values: str, axis: int = -1) -> tuple[str, ...]:
        """A value cut into gates."""
        return self.emit.op("Split", values, self.emit.integers([self.hidden] * self.gates), outputs=self.gates, axis=axis)

    def scalar(self, value: float) -> str:
        """A scalar of the layer's type."""
        return self.emit.number(value, self.at.input(0))

    def cast(self, name: str) -> str:
        """A value in the layer's type."""
        return self.emit.cast(name, self.at.input(0))

    def bend(self, gate: str) -> str:
        """The slope of a sigmoid whose value is `gate`."""
        return self.emit.mul(gate, self.emit.sub(self.scalar(1), gate))

    def round_(self, value: str) -> str:
        """The slope of a tanh with this value."""
        return self.emit.sub(self.scalar(1), self.emit.mul(value, value))

    def arriving(self) -> tuple[str, str, str]:
        """The gradients by y (t, n, h), by the last h and, for an LSTM, by the last c (n, h); zeros where none arrives."""
        grads = [*self.at.outputs_grads, None, None, None][:3]
        whole = self.turned(self.own(grads[0], 1)) if grads[0] else self.emit.mul(self.y, self.scalar(0))
        last = [self.own(one, 0) if one else self.nothing() for one in grads[1:]]
        return whole, last[0], last[1]

    def scan(self, loop: Recurrence, *, back: bool) -> tuple[str, ...]:
        """Last states, then what each step gives, of a loop over all steps; from the end if `back`."""
        kind = helper.np_dtype_to_tensor_dtype(self.at.graph.dtype(self.at.input(0)))
        names = [state[0] for state in loop.states], [name for name, _ in loop.scanned], [state[2] for state in loop.states]
        first, scanned, following = ([helper.make_tensor_value_info(name, kind, [None, None]) for name in one] for one in names)
        given = [helper.make_tensor_value_info(name, kind, [None, None]) for name in loop.gives]
        inner = helper.make_graph(list(loop.nodes), "step", [*first, *scanned], [*following, *given])
        return self.emit.op(
            "Scan",
            *[value for _, value, _ in loop.states],
            *[value for _, value in loop.scanned],
            outputs=len(loop.states) + len(loop.gives),
            body=inner,
            num_scan_inputs=len(loop.scanned),
            scan_input_directions=[int(back)] * len(loop.scanned),
            scan_output_directions=[int(back)] * len(loop.gives),
        )

    def across(self, slopes: str, values: str, size: int, gates: int = 0) -> str:
        """The gradient by weights (g h, size) that made sums with these slopes of these values."""
        rows = (gates or self.gates) * self.hidden
        flat = [self.emit.op("Reshape", name, self.emit.integers([-1, wide])) for name, wide in ((slopes, rows), (values, size))]
        return self.emit.op("Gemm", *flat, transA=1)

    def back_to_inputs(self, slopes_x: str, slopes_h: str, by_r: str = "") -> dict[int, str]:
        """Gradients by input number, from those by the gates' sums over x and over h (t, n, g h); `by_r`: that of R if it is known."""
        emit, at = self.emit, self.at
        found = {1: self.across(slopes_x, self.x, int(at.shape(0)[2])), 2: by_r or self.across(slopes_h, self.before, self.hidden)}
        if at.wants(0):
            found[0] = self.turned(emit.matmul(slopes_x, self.w))
        if self.w_bias:
            found[3] = emit.op("Concat", *[emit.reduce_sum(one, [0, 1], keepdims=False) for one in (slopes_x, slopes_h)], axis=0)
        return found

    def _lengths(self) -> str:
        given = self.at.input(4)
        if not given:
            return ""
        return self.emit.op("Cast", given, to=helper.np_dtype_to_tensor_dtype(np.dtype(np.int64)))

    def _biases(self) -> tuple[str, str]:
        if not self.at.input(3):
            return "", ""
        bias, wide, one = self.own(self.at.input(3), 0), self.gates * self.hidden, self.emit.integers
        first, second = (self.emit.op("Slice", bias, one([begin]), one([begin + wide]), one([0])) for begin in (0, wide))
        return first, second


def body(*lines: str) -> list[NodeProto]:
    """The nodes of a loop, a line each: `OUTPUT = OPERATOR INPUT ...`, as `a = Add dy dh`."""
    nodes = []
    for line in lines:
        output, _, rest = line.partition(" = ")
        op_type, *inputs = rest.split()
        nodes.append(helper.make_node(op_type, inputs, [output]))
        if op_type == "Concat":
            nodes[-1].attribute.append(helper.make_attribute("axis", -1))
    return nodes
