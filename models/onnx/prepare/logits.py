"""The logits that a loss takes, found by value: outputs that stay in [0, 1] or sum to one are probabilities, whatever made them.

The graph runs on wide inputs and with other parameters. A value of which the output is the softmax or sigmoid in every run is what
the loss takes; without one the file is refused, as the loss of a probability cannot fall as the file's own accuracy suggests.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import helper

from models.onnx.prepare.graph import BATCH, Array, Graph, Shape
from models.onnx.prepare.model import ancestors, declare, session, write
from models.onnx.prepare.probe import Ranges, sample
from models.onnx.prepare.refusals import Unsupported

ROWS = 3
_EDGE, _CLOSE = 1e-5, 2e-4
_NEEDED = {"softmax-cross-entropy": "softmax", "binary-cross-entropy": "sigmoid"}
# Width of the inputs; the parameters' factor, 0 for random ones.
_RUNS = ((1.0, 1.0), (30.0, 1.0), (1.0, 0.3), (1.0, 4.0), (1.0, 0.0), (5.0, 0.0), (0.3, 0.0))
_TINY = 1e-30


@dataclass(frozen=True, slots=True)
class Head:
    """The value that the loss takes, how infer.onnx's output `output` follows from it (see `Logits`), and the class axis, 0 if unknown."""

    logits: str
    output: str
    activation: str
    axis: int = 0


@dataclass(frozen=True, slots=True)
class _Runs:
    """Values by name, one array per run, with those rows in which the output is finite."""

    values: Mapping[str, Sequence[Array]]

    def all(self, name: str, holds: Callable[[Array], bool]) -> bool:
        """True if there is such a value and this holds in every run."""
        return name in self.values and all(holds(one) for one in self.values[name])


def find_head(graph: Graph, output: str, loss: str, ranges: Ranges, *, as_they_are: bool) -> Head:
    """The part of a graph that `loss` takes of `output`. `Unsupported` where it is probabilities and no value of the graph is their logits.

    `as_they_are`: the person who prepares the model says that the output is logits.
    """
    plain = Head(output, output, "none")
    if loss not in _NEEDED or as_they_are or graph.rank(output) == 0 or graph.shape(output)[0] != BATCH:
        return plain
    runs = _run(graph, output, ranges)
    if not any(np.ptp(one) > _EDGE for one in runs.values[output]):
        return plain  # nothing moves it: the check of gradients will say so
    seen = _Seen(graph, output, loss, runs)
    logs = seen.class_axis(np.exp)
    if seen.class_axis() is None and not runs.all(output, _in_unit):
        return _of_logarithms(seen, logs) if logs is not None or runs.all(output, _below_zero) else plain
    return _of_softmax(seen) if _NEEDED[loss] == "softmax" else _of_sigmoid(seen)


@dataclass(frozen=True, slots=True)
class _Seen:
    """An output as it was seen in the runs, and what is made of it."""

    graph: Graph
    output: str
    loss: str
    runs: _Runs

    def class_axis(self, form: Callable[[Array], Array] = lambda one: one) -> int | None:
        """The axis over which this form of the output sums to one."""
        shape = self.graph.shape(self.output)
        axes = [axis for axis in reversed(range(1, len(shape))) if shape[axis] != 1]
        return next((axis for axis in axes if all(_sums_to_one(form(one), axis) for one in self.runs.values[self.output])), None)

    def maker(self, form: Callable[[Array], Array], axis: int | None) -> str | None:
        """The first value of which the output is this form in every run."""
        shape, wanted = self.graph.shape(self.output), self.runs.values[self.output]
        for name, values in self.runs.values.items():
            if name != self.output and _suits(self.graph.shape(name), shape, axis) and _all_close(form, values, wanted):
                return name
        return None

    def half(self) -> str | None:
        """The value z (N, 1) of which the output (N, 2) is 1 - sigmoid(z) beside sigmoid(z)."""
        if self.graph.shape(self.output) != (BATCH, 2):
            return None
        wanted = [one[:, 1:] for one in self.runs.values[self.output]]
        single = (name for name in self.runs.values if self.graph.shape(name) == (BATCH, 1))
        return next((name for name in single if _all_close(_sigmoid, self.runs.values[name], wanted)), None)

    def refusal(self, what: str, step: str = "Name the value before its softmax or sigmoid") -> Unsupported:
        """The error for an output that the loss cannot take."""
        message = f"{self.output!r} holds {what}; {self.loss} takes logits, and no value of the model is their logits"
        return Unsupported(message, next_step=f"{step}: --logits NAME for another value, or --yes-these-are-logits if you are sure.")


def _of_softmax(seen: _Seen) -> Head:
    """For cross-entropy over classes."""
    axis = seen.class_axis()
    if axis is None:
        raise seen.refusal("values from 0 to 1 that do not sum to one", "For a yes or no per value use --loss binary-cross-entropy; else")
    found = seen.maker(lambda one: _softmax(one, axis), axis)
    if found:
        return Head(found, seen.output, "softmax", axis)
    half = seen.half()
    if half:
        return _joined(seen.graph, half)
    raise seen.refusal("probabilities that sum to one")


def _of_sigmoid(seen: _Seen) -> Head:
    """For a yes or no per value."""
    half = seen.half()
    if half:
        return Head(half, half, "none")
    if seen.class_axis() is not None:
        raise seen.refusal("probabilities that sum to one, as a softmax gives", "Use --loss softmax-cross-entropy; else")
    found = seen.maker(_sigmoid, None)
    if not found:
        raise seen.refusal("values from 0 to 1, as a sigmoid gives")
    return Head(found, seen.output, "sigmoid")


def _of_logarithms(seen: _Seen, axis: int | None) -> Head:
    """For values that are never above 0: logarithms of probabilities, or logits by chance."""
    if axis is None:
        if seen.maker(lambda one: np.log(np.maximum(_sigmoid(one), _TINY)), None):
            raise seen.refusal("logarithms of probabilities")
        return Head(seen.output, seen.output, "none")
    if _NEEDED[seen.loss] != "softmax":
        raise seen.refusal("logarithms of probabilities that sum to one", "Use --loss softmax-cross-entropy; else")
    found = seen.maker(lambda one: np.log(np.maximum(_softmax(one, axis), _TINY)), axis)
    return Head(found or seen.output, seen.output, "log-softmax" if found else "none", axis)


def _all_close(form: Callable[[Array], Array], values: Sequence[Array], outputs: Sequence[Array]) -> bool:
    pairs = zip(values, outputs, strict=True)
    return all(np.allclose(form(one.astype(np.float64)).reshape(out.shape), out, rtol=0, atol=_CLOSE) for one, out in pairs)


def _suits(shape: Shape, wanted: Shape, axis: int | None) -> bool:
    """True for the same shape; without a class axis, or with all classes on the last one, also for a reshaped row."""
    if shape == wanted:
        return True
    if len(shape) < 1 or shape[0] != BATCH or any(isinstance(size, str) for size in (*shape[1:], *wanted[1:])):
        return False
    sizes, others = ([int(size) for size in one[1:] if size != 1] for one in (shape, wanted))
    return sizes == others and (axis is None or (len(sizes) <= 1 and (shape[-1] != 1) and wanted[axis] != 1))


def _joined(graph: Graph, half: str) -> Head:
    """Two logits -z/2 and z/2, whose softmax is what sigmoid(z) says."""
    name = f"{half}/logits"
    matrix = f"{half}/halves"
    graph.initializers[matrix] = graph.constants[matrix] = np.array([[-0.5, 0.5]], dtype=graph.dtype(half))
    graph.shapes[matrix], graph.dtypes[matrix] = (1, 2), graph.dtype(half)
    graph.nodes.append(helper.make_node("Mul", [half, matrix], [name], name=name))
    graph.shapes[name], graph.dtypes[name] = (BATCH, 2), graph.dtype(half)
    return Head(name, name, "none")


def _run(graph: Graph, output: str, ranges: Ranges) -> _Runs:
    """All float values that the output depends on, in running order, for every run in which it is finite."""
    nodes = ancestors(graph.nodes, [output])
    known = [name for node in nodes for name in node.output if name in graph.dtypes]
    names = [name for name in known if graph.is_float(name) and _row_sized(graph, name, output)]
    free = [name for name in graph.parameters if name in graph.initializers]
    inputs = [declare(name, graph.dtypes[name], graph.shapes[name]) for name in graph.inputs]
    inputs += [declare(name, graph.initializers[name].dtype, graph.initializers[name].shape) for name in free]
    made = {name for node in nodes for name in node.output}
    stored = {name: value for name, value in {**graph.constants, **graph.initializers}.items() if name not in free and name not in made}
    model = write("probed", nodes, inputs, [helper.make_empty_tensor_value_info(name) for name in names], stored)
    running = session(model)
    read = {value.name for value in running.get_inputs()}
    found: dict[str, list[Array]] = {name: [] for name in names}
    for number, (width, factor) in enumerate(_RUNS):
        fed = sample(graph, ROWS, ranges, seed=number, width=width)
        fed |= {name: _drawn(graph.initializers[name], factor, number) for name in free}
        values = dict(zip(names, running.run(names, {name: one for name, one in fed.items() if name in read}), strict=True))
        if np.isfinite(values[output]).all():
            for name in names:
                found[name].append(values[name])
    return _Runs(found)


def _row_sized(graph: Graph, name: str, output: str) -> bool:
    """True for as many values a row as the output has, or half as many of two."""
    sizes = [_size(graph.shape(one)) for one in (name, output)]
    return graph.rank(name) > 0 and graph.shape(name)[0] == BATCH and (sizes[0] == sizes[1] or sizes == [1, 2])


def _size(shape: Shape) -> int:
    return int(np.prod([size if isinstance(size, int) else 0 for size in shape[1:]], dtype=int))


def _drawn(value: Array, factor: float, seed: int) -> Array:
    if factor:
        return (value * factor).astype(value.dtype)
    spread = float(np.abs(value).mean() if value.size else 0) + 0.1
    return (spread * np.random.default_rng(seed).standard_normal(value.shape)).astype(value.dtype)


def _sums_to_one(value: Array, axis: int) -> bool:
    return bool(value.min(initial=0.0) >= -_EDGE and np.allclose(value.astype(np.float64).sum(axis=axis), 1, rtol=0, atol=1e-3))


def _below_zero(value: Array) -> bool:
    return bool(value.max(initial=0.0) <= _EDGE)


def _in_unit(value: Array) -> bool:
    return bool(value.min(initial=0.0) >= -_EDGE and value.max(initial=0.0) <= 1 + _EDGE)


def _softmax(value: Array, axis: int) -> Array:
    along = axis if value.ndim > axis and value.shape[axis] > 1 else -1
    raised = np.exp(value - value.max(axis=along, keepdims=True))
    return np.asarray(raised / raised.sum(axis=along, keepdims=True))


def _sigmoid(value: Array) -> Array:
    small = np.exp(-np.abs(value))
    return np.asarray(np.where(value >= 0, 1.0, small) / (1.0 + small))
