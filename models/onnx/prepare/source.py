"""Reading and understanding a file: every step before differentiation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto

from models.onnx.manifest import Frozen
from models.onnx.prepare import losses, outputs, reading, roles, scikit, simplify
from models.onnx.prepare.graph import Graph
from models.onnx.prepare.model import ancestors, reads
from models.onnx.prepare.probe import fold, index_ranges, probe
from models.onnx.prepare.refusals import Unsupported

Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """The decisions of the person who prepares a model. Patterns are shell patterns over parameter names.

    `sizes` gives sizes to named axes, `ranges` bounds to inputs, inclusive; `weights`: take a weight per row; `dropout`:
    train with its masks.
    """

    loss: str
    logits: str | None = None
    freeze: Sequence[str] = ()
    train: Sequence[str] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    ranges: Ranges = field(default_factory=dict)
    weights: bool = False
    dropout: bool = False

    def __post_init__(self) -> None:
        if self.loss not in losses.LOSSES:
            step = "Losses: " + ", ".join(losses.LOSSES) + "."
            raise Unsupported(f"there is no loss {self.loss!r}", next_step=step)


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read: shapes, types, constants and parameters are known, nothing is differentiated yet."""

    name: str
    digest: str
    graph: Graph
    output: str
    logits: str
    activation: str
    frozen: tuple[Frozen, ...]
    ranges: Ranges


def read_source(path: Path, options: PrepareOptions) -> Source:
    """Read and understand the file: every step before differentiation."""
    model = reading.read(path)
    graph = reading.to_graph(model, dict(options.sizes))
    kept = scikit.rewrite(graph)
    simplify.simplify(graph, dropout=options.dropout)
    roles.untie(graph)
    batch = _stored_batch(model, graph)
    if batch:
        simplify.static_batch(graph, batch)
    ranges = {**index_ranges(graph), **options.ranges}
    graph.parameters = [name for name, value in graph.initializers.items() if value.dtype.kind == "f"]
    probe(graph, ranges)
    while simplify.inline_constant_branches(graph):
        probe(graph, ranges)
    output = outputs.find_output(graph, options.logits)
    logits, activation = outputs.strip(graph, output, losses.LOSSES[options.loss].removes)
    losses.require_rows(graph, logits)
    relevant = {name for node in ancestors(graph.nodes, [logits]) for name in reads(node)}
    frozen = roles.choose(graph, relevant, options.freeze, options.train, kept)
    _require_single(graph)
    probe(graph, ranges)
    fold(graph)
    digest = sha256(path.read_bytes()).hexdigest()
    return Source(path.stem, digest, graph, output, logits, activation, tuple(frozen), ranges)


def _require_single(graph: Graph) -> None:
    for name in graph.parameters:
        if graph.dtype(name) != np.float32:
            message = f"the parameter {name!r} is {graph.dtype(name)}"
            raise Unsupported(message, next_step="Devices train float32: export the model in single precision.")


def _stored_batch(model: ModelProto, graph: Graph) -> int:
    """The number of rows that the file fixes, 0 if it leaves it open."""
    for value in model.graph.input:
        if value.name in graph.inputs and value.type.tensor_type.elem_type != TensorProto.UNDEFINED:
            return int(value.type.tensor_type.shape.dim[0].dim_value)
    return 0
