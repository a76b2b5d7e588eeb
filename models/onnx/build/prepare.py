"""`prepare`: from an inference file to a trainable bundle."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto

from models.onnx.build import losses, outputs, reading, registry, roles, scikit, simplify
from models.onnx.build.check import Report, check_gradients
from models.onnx.build.emitter import Emitter
from models.onnx.build.engine import differentiate
from models.onnx.build.graph import BATCH, Graph
from models.onnx.build.model import IR_VERSION, OPSET, ancestors, declare, reads, write
from models.onnx.build.probe import fold, index_ranges, probe
from models.onnx.build.refusals import Unsupported
from models.onnx.build.wire import offsets
from models.onnx.bundle import INFER, TRAIN, Bundle
from models.onnx.manifest import Frozen, Logits, Manifest, Parameter, Tensor

Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Options:
    """What a person decides. Patterns are shell patterns over parameter names; `sizes` gives sizes to named axes, `ranges`
    bounds to inputs, inclusive; `weights`: take a weight per row; `dropout`: train with its masks.
    """  # noqa: D205 -- one list

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


def prepare(
    path: Path | str,
    *,
    loss: str,
    logits: str | None = None,
    freeze: Sequence[str] = (),
    train: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    ranges: Ranges | None = None,
    weights: bool = False,
    dropout: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    checked: Callable[[Report], None] = lambda _: None,
) -> Bundle:
    """A trainable bundle of the inference file at `path`, its gradients checked against finite differences.

    `loss` is softmax-cross-entropy, mse, huber or binary-cross-entropy; `logits` names the output (or inner value) to train
    where it is not the only one. See `Options` for the rest. `progress` hears what is being done, `checked` what the check
    found. Raises `Unsupported` (a `LocalError`), `LocalError(MODEL_GRADIENT)`, FileNotFoundError.
    """
    options = Options(loss, logits, freeze, train, sizes or {}, ranges or {}, weights, dropout)
    progress(f"reading {path}")
    source = read_source(Path(path), options)
    progress("differentiating")
    bundle = build(source, options)
    progress("comparing with finite differences")
    # masks differ from run to run, so the check runs without them
    plain = build(read_source(Path(path), _without_dropout(options)), _without_dropout(options)) if dropout else bundle
    checked(check_gradients(plain))
    return bundle


def read_source(path: Path, options: Options) -> Source:
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


def build(source: Source, options: Options) -> Bundle:
    """Differentiate, and write the three files. `source` is used up: its nodes may be given further outputs."""
    infer = _infer(source)
    train, names = _train(source, options)
    content = {INFER: infer.SerializeToString(deterministic=True), TRAIN: train.SerializeToString(deterministic=True)}
    places = offsets(content[INFER])
    graph = source.graph
    parameters = tuple(
        Parameter(name, graph.initializers[name].shape, name, names[name], places[name]) for name in graph.parameters
    )
    used = {value.name for value in train.graph.input}
    manifest = Manifest(
        name=source.name,
        loss=options.loss,
        parameters=parameters,
        features=tuple(_feature(graph, name, source.ranges) for name in graph.inputs if name in used),
        targets=_targets(source, options),
        weights=Tensor(losses.WEIGHTS, str(graph.dtype(source.logits)), (), low=0.0) if options.weights else None,
        loss_output=losses.LOSS,
        logits=Logits(source.output, _row(graph, source.logits), source.activation),
        frozen=source.frozen,
        opset=OPSET,
        ir_version=IR_VERSION,
        source=source.digest,
        hashes={name: sha256(data).hexdigest() for name, data in content.items()},
    )
    return Bundle(manifest, content[TRAIN], content[INFER])


def _infer(source: Source) -> ModelProto:
    """The file with its own outputs, apart from those that need an input which the loss does not."""
    graph = source.graph
    fed = _fed(graph, source.logits)
    kept = [name for name in graph.outputs if name in graph.dtypes and _fed(graph, name) <= fed]
    kept += [] if source.output in kept else [source.output]
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


def _train(source: Source, options: Options) -> tuple[ModelProto, dict[str, str]]:
    """`train.onnx`, and the gradient outputs' names by parameter."""
    graph, rule = source.graph, losses.LOSSES[options.loss]
    nodes = ancestors(graph.nodes, [source.logits])
    if options.dropout:
        simplify.drop(graph, nodes)
    emit = Emitter(graph)
    _require_free_names(graph, nodes)
    site = losses.Site(graph, source.logits, losses.TARGETS, losses.WEIGHTS if options.weights else "", emit)
    loss, seed = rule.write(site)
    gradients = differentiate(graph, nodes, {source.logits: seed}, emit, registry.load())
    lost = [name for name in graph.parameters if name not in gradients]
    if lost:
        message = f"no gradient reaches {', '.join(map(repr, lost))}: only whole numbers lead from there to the loss"
        raise Unsupported(message, next_step="Freeze them with --freeze.")
    names = {name: f"gradient:{name}" for name in graph.parameters}
    results = _Results(emit)
    results.give(loss, losses.LOSS)
    for name, gradient in gradients.items():
        results.give(gradient, names[name])
    wanted = [losses.LOSS, *names.values()]
    everything = ancestors([*nodes, *emit.nodes], wanted)
    read = {name for node in everything for name in reads(node)}
    kind = graph.dtype(source.logits)
    target = _targets(source, options)
    inputs = [declare(name, graph.dtype(name), graph.initializers[name].shape) for name in graph.parameters]
    inputs += [declare(name, graph.dtype(name), graph.shape(name)) for name in graph.inputs if name in read]
    inputs.append(declare(losses.TARGETS, np.dtype(target.dtype), (BATCH, *target.shape)))
    inputs += [declare(losses.WEIGHTS, kind, (BATCH,))] if options.weights else []
    declared = [declare(losses.LOSS, kind, ())]
    declared += [declare(names[name], graph.dtype(name), graph.initializers[name].shape) for name in graph.parameters]
    stored = {**graph.constants, **emit.constants}
    return write(f"{source.name} training", everything, inputs, declared, stored), names


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


def _targets(source: Source, options: Options) -> Tensor:
    rule, row = losses.LOSSES[options.loss], _row(source.graph, source.logits)
    if not rule.classes:
        return Tensor(losses.TARGETS, str(source.graph.dtype(source.logits)), row, rule.low, rule.high)
    if not row or row[-1] < 2:
        step = "For one logit per row use --loss binary-cross-entropy."
        raise Unsupported(f"{options.loss} needs at least two classes; a row of {source.logits!r} has the shape {row}", next_step=step)
    return Tensor(losses.TARGETS, "int64", row[:-1], 0.0, float(row[-1] - 1))


def _feature(graph: Graph, name: str, ranges: Ranges) -> Tensor:
    low, high = ranges.get(name, (None, None))
    return Tensor(name, str(graph.dtype(name)), _row(graph, name), low, high)


def _row(graph: Graph, name: str) -> tuple[int, ...]:
    return tuple(int(size) for size in graph.shape(name)[1:])


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


def _without_dropout(options: Options) -> Options:
    return Options(
        options.loss, options.logits, options.freeze, options.train, options.sizes, options.ranges, options.weights, dropout=False
    )
