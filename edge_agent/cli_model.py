"""`hushfleet agent model` and `hushfleet agent predict`: the fleet's model on this device. Nothing here has a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_agent.cli_state import folder_of, service_option
from edge_agent.config import ENVIRONMENT
from hushfleet.program.output import STDOUT, ask_to_replace, write_output
from hushfleet.program.terminal import json_option, print_json, say, state_option, yes_option

if TYPE_CHECKING:
    from edge_agent.kept_models import KeptModel, KeptModels

_STATE = state_option(ENVIRONMENT, "agent")
_VERSION = click.option("--version", type=click.IntRange(min=1), help="This version of the latest job, instead of the one in use.")


@click.group(epilog="Example: hushfleet agent model list, then: hushfleet agent predict rows.csv")
def model() -> None:
    """The fleet's model on this device: what was released, verified and kept."""


@model.command("list", epilog="Example: hushfleet agent model list --json")
@_STATE
@service_option
@json_option
def list_versions(*, state: Path | None, service: bool, as_json: bool) -> None:
    """List the versions on this device, the latest release first."""
    kept = _kept(state, service=service)
    current, pinned = kept.current(), kept.pinned()
    rows = [{**_card(one), "current": one == current, "pinned": one == pinned} for one in kept.versions()]
    if as_json:
        print_json({"versions": rows})
        return
    say(f"{'':2}{'version':>7}  {'round':>6}  {'epsilon':>8}  {'released to this device':<25}  job")
    for one in rows:
        mark = ("*" if one["current"] else "") + ("p" if one["pinned"] else "")
        epsilon = "-" if one["epsilon"] is None else f"{one['epsilon']:.2f}"
        say(f"{mark:<2}{one['version']:>7}  {one['round']:>6}  {epsilon:>8}  {one['date']:<25}  {one['job']}")
    say("* in use, p pinned")


@model.command(epilog="Example: hushfleet agent model show --version 7")
@_VERSION
@_STATE
@service_option
@json_option
def show(*, version: int | None, state: Path | None, service: bool, as_json: bool) -> None:
    """Show the card of the version in use: where it comes from, its hashes, what it cost."""
    found = _chosen(_kept(state, service=service), version)
    if as_json:
        print_json(_card(found))
        return
    told = {name: value for name, value in _card(found).items() if name != "files"}
    say(*(f"{name:<14} {'-' if value in (None, '') else value}" for name, value in told.items()))
    say(*(f"{name:<14} sha256 {digest}" for name, digest in found.card.files.items()))


@model.command(epilog="Example: hushfleet agent model export model.npz, or model.onnx where there is one, or - for standard output")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_VERSION
@_STATE
@service_option
@yes_option
@json_option
def export(*, file: Path, version: int | None, state: Path | None, service: bool, yes: bool, as_json: bool) -> None:
    """Write the version in use to FILE: one named array per parameter, or with the ending .onnx an ordinary ONNX file."""
    from edge_agent.kept_models import INFERENCE, VALUES  # noqa: PLC0415 -- the codec, when it is needed

    found = _chosen(_kept(state, service=service), version)
    content = found.content(INFERENCE if file.suffix == ".onnx" else VALUES)
    ask_to_replace(file, yes=yes, new=content)
    write_output(file, content)
    say(f"{file}: version {found.card.version} of {found.card.job}", err=as_json or file == STDOUT)
    if as_json:
        print_json({"file": str(file), **_card(found)})


@model.command(epilog="Example: hushfleet agent model pin 7")
@click.argument("version", type=click.IntRange(min=1))
@_STATE
@service_option
@json_option
def pin(*, version: int, state: Path | None, service: bool, as_json: bool) -> None:
    """Use VERSION until `unpin`, whatever is released. It stays on this device."""
    kept = _kept(state, service=service)
    found = kept.find(version)
    kept.pin(found)
    _tell_current(kept, as_json=as_json)


@model.command(epilog="Example: hushfleet agent model unpin")
@_STATE
@service_option
@json_option
def unpin(*, state: Path | None, service: bool, as_json: bool) -> None:
    """Use the latest release again."""
    kept = _kept(state, service=service)
    kept.unpin()
    _tell_current(kept, as_json=as_json)


@click.command(epilog="Example: hushfleet agent predict rows.csv --out predictions.csv")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A .csv or .npz file for the predictions.")
@click.option("--features", help="Columns a,b,c of a csv file, or the array of an npz file. Default: as the contract says, all, or x.")
@_VERSION
@_STATE
@service_option
@yes_option
@json_option
def predict(
    *,
    file: Path,
    out: Path | None,
    features: str | None,
    version: int | None,
    state: Path | None,
    service: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Predict for the rows in FILE, csv or npz, with the model in use. Rows and predictions stay on this machine."""
    from edge_agent import table_files  # noqa: PLC0415 -- numpy, when it is needed
    from edge_agent.predictor import Predictor  # noqa: PLC0415 -- likewise

    chosen = Predictor(_chosen(_kept(state, service=service), version))
    rows = table_files.read_rows(file, features, chosen.columns)
    predictions = chosen.predict(rows)
    if out is not None:
        content = table_files.as_file(predictions, chosen.named(predictions), out)
        ask_to_replace(out, yes=yes, new=content)
        write_output(out, content)
        say(f"{out}: {len(rows)} predictions of version {chosen.version} of {chosen.card.job}", err=as_json or out == STDOUT)
    elif not as_json:
        say(*table_files.lines(chosen.named(predictions)))
    if as_json:
        told = {"out": str(out)} if out is not None else {"predictions": chosen.named(predictions)}
        print_json({"job": chosen.card.job, "version": chosen.version, "rows": len(rows), **told})


def _kept(state: Path | None, *, service: bool) -> "KeptModels":
    from edge_agent.kept_models import KeptModels  # noqa: PLC0415 -- the codec, when it is needed

    return KeptModels(folder_of(state, service=service).path)


def _chosen(kept: "KeptModels", version: int | None) -> "KeptModel":
    return kept.current() if version is None else kept.find(version)


def _card(found: "KeptModel") -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 -- as above

    return {**msgspec.to_builtins(found.card), "folder": str(found.folder)}


def _tell_current(kept: "KeptModels", *, as_json: bool) -> None:
    found, pinned = kept.current(), kept.pinned() is not None
    text = "pinned" if pinned else "the latest release"
    say(f"in use: version {found.card.version} of {found.card.job}, {text}", err=as_json)
    if as_json:
        print_json({"job": found.card.job, "version": found.card.version, "pinned": pinned})
