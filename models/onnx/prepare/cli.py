"""`hushfleet model`: making an ONNX file trainable, on the machine of whoever has it. Commands import what they need when they run."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from hushfleet.program.terminal import json_option, print_json, say
from models.onnx.manifest import Frozen, Manifest, Sizes, Tensor
from models.onnx.prepare.loss_names import LOSS_NAMES

if TYPE_CHECKING:
    from models.onnx.prepare.check import Report
    from models.onnx.trainable import TrainableModel

_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_TRAINABLE = click.argument("trainable", type=click.Path(exists=True, path_type=Path))
_LOGITS = click.option("--logits", metavar="NAME", help="The output (or inner value) to train, where there are several.")
_SIZE = click.option(
    "--size",
    "sizes",
    multiple=True,
    callback=lambda *given: _sizes(given[-1]),
    metavar="AXIS=SIZE",
    help="The size of an axis by its name, or as INPUT:AXIS. The batch axis needs none.",
)
_CHECK = click.option(
    "--check",
    "full_check",
    default="quick",
    type=click.Choice(("quick", "full")),
    callback=lambda *given: given[-1] == "full",
    help="Move all parameters at once, or each by itself, which takes longer.",
)
_VALUE = click.option(
    "--value",
    "values",
    multiple=True,
    callback=lambda *given: _values(given[-1]),
    metavar="INPUT=NUMBER",
    help="One number for an input that has no batch axis.",
)
_RANGE = click.option(
    "--range",
    "ranges",
    multiple=True,
    callback=lambda *given: _ranges(given[-1]),
    metavar="INPUT=LOW:HIGH",
    help="What an input's values lie between.",
)


@click.group(epilog="Example: hushfleet model prepare net.onnx --loss softmax-cross-entropy")
def model() -> None:
    """ONNX files made trainable with plain onnxruntime, and checked."""


@model.command("prepare", epilog="Example: hushfleet model prepare net.onnx --loss softmax-cross-entropy --train 'head.*'")
@_FILE
@click.option("--loss", required=True, type=click.Choice(LOSS_NAMES), help="What training minimises.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="The trainable model's folder. Default: NAME.trainable.")
@_LOGITS
@click.option("--freeze", multiple=True, metavar="PATTERN", help="Do not train parameters whose name matches, as in 'features.*'.")
@click.option("--train", multiple=True, metavar="PATTERN", help="Train only these. --freeze wins over it.")
@click.option("--untie", multiple=True, metavar="PATTERN", help="Give each layer that uses these tensors a copy of its own.")
@click.option("--tie", multiple=True, metavar="PATTERN", help="Train tensors that hold the same values as one.")
@click.option("--yes-these-are-logits", is_flag=True, help="Take the output as logits though its values look like probabilities.")
@click.option("--class-axis", default=0, type=click.IntRange(0), help="The axis of the logits that holds the classes; rows are 0.")
@click.option("--classes", default=0, type=click.IntRange(0), help="Give the last layer this many classes anew. 0: as in the file.")
@_SIZE
@_VALUE
@_RANGE
@_CHECK
@click.option("--weights", is_flag=True, help="Take a weight for each row.")
@click.option("--dropout", is_flag=True, help="Train with the masks of Dropout; without, it passes everything on.")
@json_option
def prepare_command(*, file: Path, out: Path | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 -- the options of `prepare` as they are
    """Make the inference file FILE trainable: train.onnx, infer.onnx and manifest.json in one folder."""
    from models.onnx.prepare.pipeline import prepare  # noqa: PLC0415 -- onnx and onnxruntime, when they are needed
    from models.onnx.prepare.roles import twins  # noqa: PLC0415 -- likewise

    reports: list[Report] = []
    trainable = prepare(file, progress=_progress, checked=reports.append, **options)
    folder = out or file.with_suffix(".trainable")
    trainable.save(folder)
    for first, second in twins(trainable.architecture.split(trainable.initial)):
        say(f"{first} and {second} hold the same values and are trained apart: --tie trains them as one", err=True)
    say(*_tables(trainable.manifest), err=as_json)
    say(_verdict(reports[0]), err=as_json)
    say(f"{folder}: architecture {trainable.architecture.digest.hex()}", err=as_json)
    if as_json:
        print_json({"trainable": str(folder), **_facts(trainable), "check": _checked(reports[0])})


@model.command(epilog="Example: hushfleet model inspect net.onnx")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@_LOGITS
@_SIZE
@_VALUE
@_RANGE
@json_option
def inspect(*, path: Path, logits: str | None, as_json: bool, **options: Any) -> None:  # noqa: ANN401 -- likewise
    """List what would train in the ONNX file PATH and what would not, or what a trainable model holds."""
    from models.onnx.prepare import registry  # noqa: PLC0415 -- as above
    from models.onnx.prepare.source import PrepareOptions, read_source  # noqa: PLC0415 -- as above
    from models.onnx.trainable import load_trainable  # noqa: PLC0415 -- as above

    if path.is_dir() or path.suffix == ".bundle":
        trainable = load_trainable(path)
        say(*_tables(trainable.manifest), err=as_json)
        say(f"architecture {trainable.architecture.digest.hex()}", err=as_json)
        if as_json:
            print_json(_facts(trainable))
        return
    source = read_source(path, PrepareOptions("mse", logits, **options))
    graph = source.graph
    operators = Counter(node.op_type for node in graph.nodes)
    unknown = sorted(operators.keys() - registry.load().keys())
    shapes = {name: graph.initializers[name].shape for name in graph.parameters}
    layers = {name: source.uses.layers(name) for name in graph.parameters}
    say(*_parameters(shapes, layers, source.frozen), err=as_json)
    say(f"output {source.head.logits}: {graph.shape(source.head.logits)}", err=as_json)
    say("operators: " + ", ".join(f"{count} {name}" for name, count in sorted(operators.items())), err=as_json)
    say(f"without a derivative: {', '.join(unknown) or 'none'}", err=as_json)
    if as_json:
        frozen = msgspec.to_builtins(source.frozen)
        print_json(
            {"parameters": shapes, "frozen": frozen, "operators": operators, "without_derivative": unknown, "output": source.head.logits}
        )


@model.command(epilog="Example: hushfleet model check net.trainable")
@_TRAINABLE
@_CHECK
@click.option("--seed", default=0, show_default=True, help="Of the random rows and directions.")
@json_option
def check(*, trainable: Path, full_check: bool, seed: int, as_json: bool) -> None:
    """Verify a trainable model's hashes, and its gradients by finite differences of the loss."""
    from models.onnx.prepare.check import check_gradients  # noqa: PLC0415 -- as above
    from models.onnx.trainable import load_trainable  # noqa: PLC0415 -- as above

    report = check_gradients(load_trainable(trainable), seed=seed, full=full_check, progress=_progress)
    width = max(map(len, report.errors))
    say(*(f"{name:{width}}  {error:.1e}" for name, error in report.errors.items()), err=as_json)
    say(_verdict(report), err=as_json)
    if as_json:
        print_json(_checked(report))


@model.command(epilog="Example: hushfleet model bench net.trainable --batch 32")
@_TRAINABLE
@click.option("--batch", default=32, show_default=True, type=click.IntRange(1), help="Rows per step.")
@click.option("--steps", default=50, show_default=True, type=click.IntRange(1), help="Steps that are timed.")
@json_option
def bench(*, trainable: Path, batch: int, steps: int, as_json: bool) -> None:
    """Time training steps of a trainable model on this machine, with one thread."""
    from models.onnx.prepare.bench import time_steps  # noqa: PLC0415 -- as above
    from models.onnx.trainable import load_trainable  # noqa: PLC0415 -- as above

    found = time_steps(load_trainable(trainable), batch, steps)
    say(f"{1e3 * found.step_s:.3f} ms a step of {batch} rows, {1e3 * found.inference_s:.3f} ms to infer them", err=as_json)
    if as_json:
        print_json({"batch": batch, "steps": steps, "step_s": found.step_s, "inference_s": found.inference_s})


def _progress(what: str) -> None:
    say(f"{what} ...", err=True)


def _sizes(given: Sequence[str]) -> dict[str, int]:
    found = {}
    for one in given:
        axis, _, size = one.rpartition("=")
        if not axis or not size.isdecimal() or int(size) < 1:
            raise click.BadParameter(f"{one!r} is not AXIS=SIZE, as in --size length=128")
        found[axis] = int(size)
    return found


def _values(given: Sequence[str]) -> dict[str, float]:
    found = {}
    for one in given:
        name, _, number = one.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise click.BadParameter(f"{one!r} is not INPUT=NUMBER, as in --value sr=16000")
    return found


def _ranges(given: Sequence[str]) -> dict[str, tuple[float, float]]:
    found = {}
    for one in given:
        name, _, bounds = one.rpartition("=")
        try:
            low, high = map(float, bounds.split(":"))
        except ValueError:
            low, high = 1.0, 0.0
        if not name or not low <= high:
            raise click.BadParameter(f"{one!r} is not INPUT=LOW:HIGH, as in --range tokens=0:999")
        found[name] = (low, high)
    return found


def _tables(manifest: Manifest) -> tuple[str, ...]:
    shapes = {one.name: one.shape for one in manifest.parameters}
    layers = {one.name: one.layers for one in manifest.parameters}
    fed = [*manifest.features, manifest.targets, *filter(None, [manifest.weights])]
    lines = [*_parameters(shapes, layers, manifest.frozen), "", *(f"fed      {_fed(one)}" for one in fed)]
    return (*lines, f"loss     {manifest.loss} of {manifest.logits.output}{_removed(manifest)}")


def _removed(manifest: Manifest) -> str:
    return "" if manifest.logits.activation == "none" else f", before its {manifest.logits.activation}"


def _fed(one: Tensor) -> str:
    bounds = "" if one.low is None else f" from {one.low:g}" + ("" if one.high is None else f" to {one.high:g}")
    return f"{one.name}: {one.dtype} (rows{''.join(f', {size}' for size in one.shape)}){bounds}"


def _parameters(shapes: Mapping[str, Sizes], layers: Mapping[str, int], frozen: Sequence[Frozen]) -> Iterator[str]:
    """The table that a person reads before training."""
    width = max(map(len, [*shapes, *(one.name for one in frozen), "trained"]))
    for name, shape in shapes.items():
        shared = f"  used by {layers[name]} layers, trained as one (--untie)" if layers[name] > 1 else ""
        yield f"trained  {name:{width}}  {_size(shape):>16}{shared}"
    for one in frozen:
        kind = "frozen  " if one.why.endswith(("--freeze", "--train")) else "constant"
        yield f"{kind} {one.name:{width}}  {_size(one.shape):>16}  {one.why}"
    yield f"{sum(_count(shape) for shape in shapes.values())} values are trained in {len(shapes)} parameters"


def _size(shape: Sizes) -> str:
    return " x ".join(map(str, shape)) or "()"


def _count(shape: Sizes) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _verdict(report: "Report") -> str:
    found = f"largest error {report.worst:.1e}, {report.tolerance:.0e} allowed"
    rest = f"; {len(report.left_out)} that hardly move the loss were not compared: --check full" if report.left_out else ""
    return f"gradients agree with finite differences in {report.precision}: {found}{rest}"


def _checked(report: "Report") -> dict[str, Any]:
    return {
        "errors": dict(report.errors),
        "worst": report.worst,
        "tolerance": report.tolerance,
        "precision": report.precision,
        "left_out": list(report.left_out),
    }


def _facts(trainable: "TrainableModel") -> dict[str, Any]:
    manifest: dict[str, Any] = msgspec.to_builtins(trainable.manifest)
    return {"architecture": trainable.architecture.digest.hex(), "values": trainable.manifest.dimension, "manifest": manifest}
