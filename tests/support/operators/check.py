"""Checks the derivative of one ONNX operator against differences of its own values.

The gradient runs in float32 through onnxruntime, as on a device. The differences are taken in float64 through onnxruntime; where
it has no float64 kernel, through onnx's reference in numpy, whose values must agree with onnxruntime's; an operator that is
linear over a wide step is differenced in float32 with that step, which is exact but for rounding.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from models.onnx.prepare.emitter import Emitter
from models.onnx.prepare.graph import BATCH, Graph
from models.onnx.prepare.model import declare, reads, session, write
from models.onnx.prepare.registry import Context, Derivative

Array = npt.NDArray[Any]

TOLERANCE = 1e-4  # of the tensor's largest gradient


@dataclass(frozen=True)
class Case:
    """One use of an operator.

    `inputs`: float32 arrays are differenced unless their position is in `kept`; integer and boolean ones are constants, as are
    the positions in `constant`; None is left out. `rows`: axis 0 of the first input and of the outputs is the batch axis.
    """

    op_type: str
    inputs: Sequence[Array | None]
    attributes: Mapping[str, object] = field(default_factory=dict)
    constant: frozenset[int] = frozenset()
    outputs: int = 1
    rows: bool = True
    step: float = 0.0  # above 0: difference in float32 with this step, for an operator that is linear between them
    exact: Callable[..., Array | tuple[Array, ...]] | None = None  # the operator in float64, where neither onnxruntime nor onnx computes so
    refused: str = ""  # what the refusal must say, if the derivative has to refuse

    def __str__(self) -> str:
        shapes = [None if value is None else list(value.shape) for value in self.inputs]
        return f"{self.op_type} {shapes} {dict(self.attributes)}"

    @property
    def differenced(self) -> list[int]:
        return [i for i, value in enumerate(self.inputs) if value is not None and value.dtype.kind == "f" and i not in self.constant]


Values = dict[str, Array]


def check(case: Case, derivative: Derivative) -> None:
    """Every gradient is right to `TOLERANCE`, or AssertionError. Passes on the derivative's own refusal."""
    generator = np.random.default_rng(7)
    values = _forward(case, np.float32)(case.inputs)
    directions = [generator.normal(size=value.shape).astype(value.dtype) for value in values]
    found = _gradients(case, derivative, values, directions)
    loss = _loss(case, values, directions)
    for position in case.differenced:
        wanted = _differences(case, position, loss, case.step or 1e-5)
        assert position in found, f"{case}: no gradient for input {position}"
        assert found[position].shape == wanted.shape, f"{case}: input {position} has a gradient of shape {found[position].shape}"
        error = float(np.abs(found[position] - wanted).max(initial=0.0))
        largest = float(np.abs(wanted).max(initial=0.0))
        assert error <= TOLERANCE * largest + 1e-7, f"{case}: input {position} is off by {error} where the largest is {largest}"


def _node(case: Case) -> Any:  # noqa: ANN401 -- onnx has no types
    names = ["" if value is None else f"in{i}" for i, value in enumerate(case.inputs)]
    outputs = [f"out{i}" for i in range(case.outputs)]
    return helper.make_node(case.op_type, names, outputs, name=case.op_type, **case.attributes)


def _model(case: Case, dtype: type[np.floating[Any]], node: Any, more: Emitter | None, results: Sequence[str]) -> ModelProto:  # noqa: ANN401
    stored = {f"in{i}": value for i, value in enumerate(case.inputs) if value is not None and i not in case.differenced}
    stored = {name: value.astype(dtype) if value.dtype.kind == "f" else value for name, value in stored.items()}
    inputs = [declare(f"in{i}", np.dtype(dtype), [None] * case.inputs[i].ndim) for i in case.differenced]  # type: ignore[union-attr]
    nodes = [node, *(more.nodes if more else [])]
    if more:
        stored |= more.constants
        read = {name for one in nodes for name in reads(one)}
        inputs += [helper.make_tensor_value_info(f"up{i}", TensorProto.FLOAT, None) for i in range(case.outputs) if f"up{i}" in read]
    return write("case", nodes, inputs, [helper.make_empty_tensor_value_info(name) for name in results], stored)


Forward = Callable[[Sequence[Array | None]], list[Array]]


def _forward(case: Case, dtype: type[np.floating[Any]]) -> Forward:
    model = _model(case, dtype, _node(case), None, [f"out{i}" for i in range(case.outputs)])
    running = session(model)
    return lambda inputs: list(running.run(None, _feeds(case, inputs, dtype)))


def _in_double(case: Case) -> Forward:
    if case.exact:
        exact = case.exact
        return lambda inputs: _listed(exact(*(value.astype(np.float64) for value in inputs if value is not None)))
    try:
        return _forward(case, np.float64)
    except Exception:  # noqa: BLE001 -- onnxruntime has a kind of error per way to lack a kernel
        return _reference(case)


def _listed(found: Array | tuple[Array, ...]) -> list[Array]:
    return list(found) if isinstance(found, tuple) else [found]


def _reference(case: Case) -> Forward:
    model = _model(case, np.float64, _node(case), None, [f"out{i}" for i in range(case.outputs)])
    running = ReferenceEvaluator(model)
    return lambda inputs: list(running.run(None, _feeds(case, inputs, np.float64)))


def _feeds(case: Case, inputs: Sequence[Array | None], dtype: type[np.floating[Any]]) -> Values:
    return {f"in{i}": np.asarray(inputs[i], dtype=dtype) for i in case.differenced}


def _gradients(case: Case, derivative: Derivative, values: list[Array], directions: list[Array]) -> dict[int, Array]:
    node = _node(case)
    graph = _graph(case, node, values)
    floats = [value.dtype.kind == "f" for value in values]
    ups = [f"up{i}" if is_float else None for i, is_float in enumerate(floats)]
    wanted = frozenset(f"in{i}" for i in case.differenced)
    context = Context(node, list(ups), graph, Emitter(graph), wanted)
    slopes = derivative(context)
    assert len(slopes) == len(node.input), f"{case}: {len(slopes)} gradients for {len(node.input)} inputs"
    given = {i: slopes[i] for i in case.differenced if slopes[i] is not None}
    if not given:
        return {}
    results = [context.emit.op("Identity", name) for name in given.values() if name]
    model = _model(case, np.float32, node, context.emit, results)
    feeds = _feeds(case, case.inputs, np.float32)
    feeds |= {name: direction for name, direction in zip(ups, directions, strict=True) if name}
    running = session(model)
    names = {one.name for one in running.get_inputs()}
    return dict(zip(given, running.run(results, {k: v for k, v in feeds.items() if k in names}), strict=True))


def _graph(case: Case, node: Any, values: list[Array]) -> Graph:  # noqa: ANN401 -- onnx has no types
    graph = Graph([node], [], [], {})
    known = {f"in{i}": value for i, value in enumerate(case.inputs) if value is not None}
    known |= {f"out{i}": value for i, value in enumerate(values)}
    following = {"in0", *node.output} if case.rows else set()
    for name, value in known.items():
        same = value.ndim and value.shape[0] == len(case.inputs[0])  # type: ignore[arg-type]  # the first input is never left out
        graph.shapes[name] = (BATCH, *value.shape[1:]) if name in following and same else value.shape
        graph.dtypes[name] = value.dtype
    graph.constants |= {f"in{i}": v for i, v in enumerate(case.inputs) if v is not None and i not in case.differenced}
    return graph


@dataclass(frozen=True)
class _Loss:
    forward: Forward
    directions: list[Array]

    def __call__(self, inputs: Sequence[Array | None]) -> float:
        pairs = zip(self.forward(inputs), self.directions, strict=True)
        return sum(float(np.vdot(y.astype(np.float64), r)) for y, r in pairs if r.dtype.kind == "f")


def _loss(case: Case, values: list[Array], directions: list[Array]) -> _Loss:
    if case.step:
        return _Loss(_forward(case, np.float32), directions)
    forward = _in_double(case)
    for ours, theirs in zip(forward(case.inputs), values, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=str(case))
    return _Loss(forward, directions)


def _differences(case: Case, position: int, loss: _Loss, step: float) -> Array:
    value = np.asarray(case.inputs[position], dtype=np.float64)
    slopes = np.zeros(value.shape)
    inputs = list(case.inputs)
    for index in np.ndindex(value.shape):
        around = []
        for signed in (step, -step):
            inputs[position] = value.copy()
            inputs[position][index] += signed
            around.append(loss(inputs))
        slopes[index] = (around[0] - around[1]) / (2 * step)
    return slopes
