"""Differentiates what was read, and writes the trainable model's files."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from onnx import ModelProto, NodeProto, ValueInfoProto

from models.losses import PADDING
from models.onnx.manifest import Logits, Manifest, Parameter, Tensor
from models.onnx.prepare import losses, registry, simplify
from models.onnx.prepare.emitter import Emitter
from models.onnx.prepare.engine import differentiate
from models.onnx.prepare.graph import BATCH, Graph
from models.onnx.prepare.model import IR_VERSION, OPSET, ancestors, declare, reads, write
from models.onnx.prepare.probe import Ranges
from models.onnx.prepare.quicker import quicker
from models.onnx.prepare.refusals import Unsupported
from models.onnx.prepare.source import PrepareOptions, Source
from models.onnx.prepare.wire import offsets
from models.onnx.trainable import INFER, TRAIN, TrainableModel


def build(source: Source, options: PrepareOptions) -> TrainableModel:
    """Differentiate, and write the three files. `source` is used up: its nodes may be given further outputs."""
    infer = _infer(source)
    train, names = _train(source, options)
    content = {INFER: infer.SerializeToString(deterministic=True), TRAIN: train.SerializeToString(deterministic=True)}
    places = offsets(content[INFER])
    graph = source.graph
    parameters = tuple(
        Parameter(name, graph.initializers[name].shape, name, names[name], places[name], source.uses.layers(name))
        for name in graph.parameters
    )
    used = {value.name for value in train.graph.input}
    manifest = Manifest(
        name=source.name,
        loss=options.loss,
        parameters=parameters,
        features=tuple(_feature(graph, name, source.ranges) for name in graph.inputs if name in used),
        targets=_targets(source, options),
        weights=Tensor(losses.WEIGHTS, str(graph.dtype(source.head.logits)), (), low=0.0) if options.weights else None,
        loss_output=losses.LOSS,
        logits=Logits(source.head.output, _row(graph, source.head.logits), source.head.activation, source.head.axis),
        frozen=source.frozen,
        opset=OPSET,
        ir_version=IR_VERSION,
        source=source.digest,
        hashes={name: sha256(data).hexdigest() for name, data in content.items()},
    )
    return TrainableModel(manifest, content[TRAIN], content[INFER])


def _infer(source: Source) -> ModelProto:
    """The file with its own outputs, apart from those that need an input which the loss does not."""
    graph = source.graph
    fed = _fed(graph, source.head.logits)
    kept = [name for name in graph.outputs if name in graph.dtypes and _fed(graph, name) <= fed]
    kept += [] if source.head.output in kept else [source.head.output]
    nodes = ancestors(graph.nodes, kept)
    read = {name for node in nodes for name in reads(node)} | set(kept)
    inputs = [declare(name, graph.dtype(name), graph.shape(name)) for name in graph.inputs if name in read]
    declared = [declare(name, graph.dtype(name), [_named(size) for size in graph.shape(name)]) for name in kept]
    return write(source.name, nodes, inputs, declared, {**graph.constants, **graph.initializers})


def _fed(graph: Graph, output: str) -> set[str]:
    """The inputs that a value depends on."""
    read = {name for node in ancestors(graph.nodes, [output]) for name in reads(node)}
    return read.intersection(graph.inputs)


def _named(size: int | str) -> int | str | None:
    return size if isinstance(size, int) or size == BATCH else None


def _train(source: Source, options: PrepareOptions) -> tuple[ModelProto, dict[str, str]]:
    """`train.onnx`, and the gradient outputs' names by parameter."""
    graph, rule = source.graph, losses.LOSSES[options.loss]
    nodes = ancestors(graph.nodes, [source.head.logits])
    if options.dropout:
        simplify.drop(graph, nodes)
    emit = Emitter(graph)
    _require_free_names(graph, nodes)
    weights = losses.WEIGHTS if options.weights else ""
    site = losses.Site(graph, source.head.logits, losses.TARGETS, weights, emit, source.head.axis)
    loss, seed = rule.write(site)
    gradients = differentiate(graph, nodes, {source.head.logits: seed}, emit, registry.load())
    lost = [name for name in graph.parameters if name not in gradients]
    if lost:
        message = f"no gradient reaches {', '.join(map(repr, lost))}: only whole numbers lead from there to the loss"
        raise Unsupported(message, next_step="Freeze them with --freeze.")
    names = {name: f"gradient:{name}" for name in graph.parameters}
    results = _Results(emit)
    results.give(loss, losses.LOSS)
    for name, gradient in gradients.items():
        results.give(gradient, names[name])
    everything = ancestors([*quicker(graph, nodes, emit), *emit.nodes], [losses.LOSS, *names.values()])
    declared = [declare(losses.LOSS, graph.dtype(source.head.logits), ())]
    declared += [declare(names[name], graph.dtype(name), graph.initializers[name].shape) for name in graph.parameters]
    inputs = _train_inputs(source, options, everything)
    return write(f"{source.name} training", everything, inputs, declared, {**graph.constants, **emit.constants}), names


def _train_inputs(source: Source, options: PrepareOptions, nodes: Sequence[NodeProto]) -> list[ValueInfoProto]:
    """Parameters, features, targets, weights."""
    graph, target = source.graph, _targets(source, options)
    read = {name for node in nodes for name in reads(node)}
    inputs = [declare(name, graph.dtype(name), graph.initializers[name].shape) for name in graph.parameters]
    inputs += [declare(name, graph.dtype(name), graph.shape(name)) for name in graph.inputs if name in read]
    inputs.append(declare(losses.TARGETS, np.dtype(target.dtype), (BATCH, *target.shape)))
    return inputs + ([declare(losses.WEIGHTS, graph.dtype(source.head.logits), (BATCH,))] if options.weights else [])


class _Results:
    """Gives written values the names they have as outputs; a value with two names is copied."""

    def __init__(self, emit: Emitter) -> None:
        self._emit = emit
        self._given: dict[str, str] = {}

    def give(self, value: str, name: str) -> None:
        value = self._given.get(value, value)
        maker = next((node for node in self._emit.nodes if value in node.output), None)
        if maker is None or value in self._given.values():
            copy = self._emit.op("Identity", value)
            maker, value = self._emit.nodes[-1], copy
        self._given[value] = name
        for node in self._emit.nodes:
            for field_ in (node.input, node.output):
                for index, one in enumerate(field_):
                    if one == value:
                        field_[index] = name


def _require_free_names(graph: Graph, nodes: Sequence[NodeProto]) -> None:
    taken = {losses.TARGETS, losses.WEIGHTS, losses.LOSS}
    clash = taken.intersection([*graph.inputs, *graph.parameters, *(name for node in nodes for name in node.output)])
    if clash:
        raise Unsupported(f"the model has values named {', '.join(sorted(clash))}", next_step="Rename them: training needs these names.")


def _targets(source: Source, options: PrepareOptions) -> Tensor:
    rule, row = losses.LOSSES[options.loss], _row(source.graph, source.head.logits)
    if not rule.classes:
        return Tensor(losses.TARGETS, str(source.graph.dtype(source.head.logits)), row, rule.low, rule.high)
    classes = row[source.head.axis - 1] if row else 0
    if classes < 2:
        step = "For one logit per row use --loss binary-cross-entropy."
        raise Unsupported(f"{options.loss} needs at least two classes; a row of {source.head.logits!r} has the shape {row}", next_step=step)
    positions = (*row[: source.head.axis - 1], *row[source.head.axis :])
    return Tensor(losses.TARGETS, "int64", positions, float(PADDING if positions else 0), float(classes - 1))


def _feature(graph: Graph, name: str, ranges: Ranges) -> Tensor:
    low, high = ranges.get(name, (None, None))
    return Tensor(name, str(graph.dtype(name)), _row(graph, name), low, high)


def _row(graph: Graph, name: str) -> tuple[int, ...]:
    return tuple(int(size) for size in graph.shape(name)[1:])
