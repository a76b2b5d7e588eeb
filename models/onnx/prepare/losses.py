"""Losses as ONNX nodes: the mean loss and its gradient by the logits, in closed form, with optional weights per row.

Each loss is a mean: over rows, or labelled positions, for cross-entropy, over all elements otherwise. With weights w it is the mean
weighted by row, sum(w_i l_i) / sum(w_i): equal weights give what no weights give.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

import numpy as np
from onnx import TensorProto

from models.losses import PADDING
from models.onnx.prepare.emitter import Emitter
from models.onnx.prepare.graph import BATCH, Graph
from models.onnx.prepare.refusals import Unsupported

TARGETS, WEIGHTS, LOSS = "targets", "sample_weights", "loss"
_TINY = 1e-30


@dataclass(frozen=True, slots=True)
class Site:
    """The place of a loss in the graph: names of logits, targets and weights ("" for none), the writer, and the logits' class axis."""

    graph: Graph
    logits: str
    targets: str
    weights: str
    emit: Emitter
    axis: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of one row of logits."""
        return tuple(int(size) for size in self.graph.shape(self.logits)[1:])

    def number(self, value: float) -> str:
        """A constant of the logits' type."""
        return self.emit.number(value, self.logits)


@dataclass(frozen=True, slots=True)
class LossRule:
    """`write` gives the names of the loss () and of the gradient by the logits.

    `classes`: whether targets are class numbers, int64, shaped as the logits without their class axis; else they look like the logits.
    `low` and `high` bound a target; None for no bound.
    """

    write: Callable[[Site], tuple[str, str]]
    classes: bool = False
    low: float | None = None
    high: float | None = None


def require_rows(graph: Graph, logits: str) -> None:
    """`Unsupported` unless the logits are (N, fixed sizes ...)."""
    shape = graph.shape(logits)
    if not shape or shape[0] != BATCH or any(isinstance(size, str) for size in shape[1:]):
        step = "Name the output that carries one row of logits per row of features with --logits."
        raise Unsupported(f"{logits!r} has the shape {shape}, not a row per row of features", next_step=step)


def _cross_entropy(site: Site) -> tuple[str, str]:
    """The loss -log softmax(z)[t] over the class axis; positions labelled `PADDING` do not count."""
    emit, axis, sizes = site.emit, site.axis, site.sizes
    logs = emit.op("LogSoftmax", site.logits, axis=axis)
    classes = np.arange(sizes[axis - 1]).reshape(-1, *[1] * (len(sizes) - axis))
    targets = emit.unsqueeze(site.targets, [axis])
    wanted = emit.cast(emit.op("Equal", targets, emit.constant(classes)), site.logits)
    losses = emit.neg(emit.reduce_sum(emit.mul(logs, wanted), [axis], keepdims=True))
    slope = emit.sub(emit.op("Exp", logs), wanted)
    if len(sizes) == 1:
        return _mean(site, losses, slope, elements=1)
    counted = emit.cast(emit.op("Not", emit.op("Equal", targets, emit.constant(np.array(PADDING)))), site.logits)
    if site.weights:
        counted = emit.mul(counted, emit.reshape(site.weights, (BATCH, *[1] * len(sizes))))
    total = emit.op("Max", emit.op("ReduceSum", counted, keepdims=0), site.number(_TINY))
    share = emit.div(counted, total)
    return emit.op("ReduceSum", emit.mul(losses, share), keepdims=0), emit.mul(slope, share)


def _squared(site: Site) -> tuple[str, str]:
    """The loss (z - t)^2."""
    difference = site.emit.sub(site.logits, site.targets)
    return _mean(site, site.emit.mul(difference, difference), site.emit.mul(difference, site.number(2)), elements=prod(site.sizes))


def _huber(site: Site) -> tuple[str, str]:
    """Half the square of z - t up to 1, linear beyond (Huber 1964, delta = 1)."""
    emit = site.emit
    difference = emit.sub(site.logits, site.targets)
    slope = emit.op("Clip", difference, site.number(-1), site.number(1))
    losses = emit.mul(slope, emit.sub(difference, emit.mul(slope, site.number(0.5))))
    return _mean(site, losses, slope, elements=prod(site.sizes))


def _binary(site: Site) -> tuple[str, str]:
    """log(1 + e^z) - z t, so that neither tail overflows."""
    emit, z = site.emit, site.logits
    tail = emit.op("Log", emit.add(emit.op("Exp", emit.neg(emit.op("Abs", z))), site.number(1)))
    softplus = emit.add(emit.op("Max", z, site.number(0)), tail)
    slope = emit.sub(emit.op("Sigmoid", z), site.targets)
    return _mean(site, emit.sub(softplus, emit.mul(z, site.targets)), slope, elements=prod(site.sizes))


def _mean(site: Site, losses: str, slope: str, *, elements: int) -> tuple[str, str]:
    """Mean of `losses` (n, ...), `elements` of them per row, and `slope` scaled accordingly."""
    emit, one = site.emit, (1,) * len(site.sizes)
    if site.weights:
        column = emit.reshape(site.weights, (BATCH, *one))
        total = emit.op("ReduceSum", site.weights, keepdims=0)
        share = emit.div(column, emit.mul(total, site.number(elements)))
    else:
        rows = emit.op("Cast", emit.op("Shape", site.logits, start=0, end=1), to=_type(site))
        share = emit.div(site.number(1), emit.mul(emit.reshape(rows, ()), site.number(elements)))
    return emit.op("ReduceSum", emit.mul(losses, share), keepdims=0), emit.mul(slope, share)


def _type(site: Site) -> int:
    return int(TensorProto.FLOAT if site.graph.dtype(site.logits) == np.float32 else TensorProto.DOUBLE)


LOSSES: Mapping[str, LossRule] = MappingProxyType(
    {
        "softmax-cross-entropy": LossRule(_cross_entropy, classes=True),
        "mse": LossRule(_squared),
        "huber": LossRule(_huber),
        "binary-cross-entropy": LossRule(_binary, low=0.0, high=1.0),
    }
)
