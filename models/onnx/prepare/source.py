"""Reading and understanding a file: every step before differentiation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto

from models.onnx.manifest import Frozen
from models.onnx.prepare import losses, outputs, reading, roles, scikit, simplify
from models.onnx.prepare.graph import Array, Graph
from models.onnx.prepare.logits import Head, find_head
from models.onnx.prepare.model import ancestors, reads
from models.onnx.prepare.new_head import renew_head
from models.onnx.prepare.probe import Ranges, fold, index_ranges, probe, probe_within, require_independent
from models.onnx.prepare.refusals import Unsupported
from models.onnx.prepare.uses import Uses

_UNAMBIGUOUS = 3  # axes of logits, of which the last holds the classes


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """The decisions of the person who prepares a model. Patterns are shell patterns over parameter names.

    `sizes` gives sizes to named axes, `values` numbers to whole inputs, `ranges` bounds to inputs, inclusive; `weights`: take a
    weight per row; `dropout`: train with its masks; `as_they_are`: the output is logits even if its values look like
    probabilities; `class_axis`: the axis of the logits that holds the classes, where the rows' is 0, and 0 is what the values say;
    `classes`: give the last layer this many anew, 0 for those of the file.
    """

    loss: str
    logits: str | None = None
    choice: roles.Choice = field(default_factory=roles.Choice)
    sizes: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    ranges: Ranges = field(default_factory=dict)
    weights: bool = False
    dropout: bool = False
    as_they_are: bool = False
    class_axis: int = 0
    classes: int = 0

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
    head: Head
    uses: Uses
    frozen: tuple[Frozen, ...]
    ranges: Ranges
    filled: Mapping[str, Array]


def read_source(path: Path, options: PrepareOptions) -> Source:
    """Read and understand the file: every step before differentiation."""
    with reading.damaged_refused(path):
        return _understood(path, reading.read(path), options)


def _understood(path: Path, model: ModelProto, options: PrepareOptions) -> Source:
    scikit.require_gradients(model)
    graph = reading.to_graph(model, options.sizes, options.values)
    filled = {name: graph.initializers[name] for name in options.values}
    kept = scikit.rewrite(graph)
    simplify.simplify(graph, dropout=options.dropout)
    roles.tie(graph, options.choice.tie)
    roles.untie(graph, options.choice.untie)
    batch = _stored_batch(model, graph)
    if batch:
        simplify.static_batch(graph, batch)
    ranges: Ranges = {**index_ranges(graph), **options.ranges}
    graph.parameters = _floats(graph)
    ranges = probe_within(graph, ranges)
    while simplify.inline_constant_branches(graph):
        graph.parameters = _floats(graph)
        probe(graph, ranges)
    uses = Uses(graph, kept)
    graph.parameters = [name for name, why in uses.reasons.items() if not why]
    output = outputs.find_output(graph, options.logits)
    head = find_head(graph, output, options.loss, ranges, as_they_are=options.as_they_are)
    losses.require_rows(graph, head.logits)
    require_independent(graph, head.logits, ranges)
    head = replace(head, axis=_class_axis(graph, head, options))
    if options.classes:
        renew_head(graph, head.logits, options.classes)
    relevant = {name for node in ancestors(graph.nodes, [head.logits]) for name in reads(node)}
    frozen = roles.choose(graph, uses, relevant, options.choice)
    _require_single(graph)
    probe(graph, ranges)
    fold(graph)
    digest = sha256(path.read_bytes()).hexdigest()
    return Source(path.stem, digest, graph, head, uses, tuple(frozen), ranges, filled)


def _floats(graph: Graph) -> list[str]:
    return [name for name, value in graph.initializers.items() if value.dtype.kind == "f"]


def _require_single(graph: Graph) -> None:
    for name in graph.parameters:
        if graph.dtype(name) != np.float32:
            message = f"the parameter {name!r} is {graph.dtype(name)}"
            raise Unsupported(message, next_step="Devices train float32: export the model in single precision.")


def _class_axis(graph: Graph, head: Head, options: PrepareOptions) -> int:
    """The axis of the logits that holds the classes: as given, as a softmax has it, or the last of a table or of steps."""
    rank = graph.rank(head.logits)
    if not losses.LOSSES[options.loss].classes:
        return max(rank - 1, 0)
    if options.class_axis and not 0 < options.class_axis < rank:
        raise Unsupported(f"{head.logits!r} has the axes 0 (rows) to {rank - 1}", next_step="Give one from 1 on with --class-axis.")
    wide = [axis for axis in range(1, rank) if graph.shape(head.logits)[axis] != 1]
    usual = wide[0] if len(wide) == 1 else rank - 1 if rank <= _UNAMBIGUOUS else 0
    found = options.class_axis or head.axis or usual
    if not found and rank > 1:
        shape = " x ".join(map(str, graph.shape(head.logits)))
        step = "Name it with --class-axis: 1 where channels come first, as in PyTorch, the last where they come last, as in Keras."
        raise Unsupported(f"{head.logits!r} ({shape}) does not say which of its axes holds the classes", next_step=step)
    return found


def _stored_batch(model: ModelProto, graph: Graph) -> int:
    """The number of rows that the file fixes, 0 if it leaves it open."""
    for value in model.graph.input:
        if value.name in graph.inputs and value.type.tensor_type.elem_type != TensorProto.UNDEFINED:
            return max(int(value.type.tensor_type.shape.dim[0].dim_value), 0)
    return 0
