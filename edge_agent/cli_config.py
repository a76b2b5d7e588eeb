"""`hushfleet agent config`: the configuration and the data that it names, looked at before anything runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_agent.config import ENVIRONMENT, Config, load
from hushfleet.program.terminal import config_option, json_option, print_json, say, state_option, yes_option
from hushfleet.typed import typed

if TYPE_CHECKING:
    from edge_agent.data.findings import Findings
    from edge_agent.folder import StateFolder


@click.group(epilog="Example: hushfleet agent config new --data readings.csv, then: hushfleet agent config check --data")
def config() -> None:
    """The configuration, agent.toml."""


@config.command(epilog="Example: hushfleet agent config check --config agent.toml --data. Exit code 1: the data cannot be trained on.")
@config_option(ENVIRONMENT, "agent")
@state_option(ENVIRONMENT, "agent")
@click.option("--data", "with_data", is_flag=True, help="Also read the training data once, and hold them against every model.")
@json_option
@click.pass_context
def check(ctx: click.Context, *, config_path: Path | None, state: Path | None, with_data: bool, as_json: bool) -> None:
    """Check the configuration whole: every wrong line at once, the models' names, and with --data the data.

    The data are held against the configured models and, on a device that has joined, against all that the owner's policy allows.
    """
    from edge_agent.folder import StateFolder, default_state  # noqa: PLC0415 -- numpy and the cryptography, when they are needed

    told = check_config(load(config_path), with_data=with_data, folder=StateFolder((state or default_state()).absolute()))
    if as_json:
        print_json(told)
    else:
        say(*_lines(told))
    if told.get("usable") is False:
        ctx.exit(1)


@config.command(epilog="Example: hushfleet agent config new --data readings.csv")
@click.option("--data", "data", type=click.Path(path_type=Path), help="The file to train on: its columns or arrays are written down.")
@click.option("--out", default="agent.toml", type=click.Path(path_type=Path), help="The file to write; - for standard output.")
@yes_option
@json_option
def new(*, data: Path | None, out: Path, yes: bool, as_json: bool) -> None:
    """Write a commented agent.toml that fits the data."""
    from edge_agent.config_new import new_config  # noqa: PLC0415 -- as above
    from hushfleet.program.output import STDOUT, ask_to_replace, write_output  # noqa: PLC0415 -- as above

    text, looks = new_config(data)
    ask_to_replace(out, yes=yes, new=text.encode())
    write_output(out, text.encode())
    if out != STDOUT:
        words = ("agent", "config", "check", "--config", out, "--data")
        say(f"Written: {out}", *looks, f"Next: {typed(*words)}", err=as_json)
    if as_json:
        print_json({"config": str(out), "look_at": list(looks)})


def check_config(config: Config, *, with_data: bool, folder: "StateFolder | None") -> dict[str, object]:
    """The findings by name. Raises `LocalError(MODEL_NAME)`, `DataError` for a source that nobody brings."""
    from edge_agent.data import require_source  # noqa: PLC0415 -- as above
    from models import catalogue  # noqa: PLC0415 -- as above

    told: dict[str, object] = {"configuration": "in order", "training": config.training.enabled}
    if config.training.models:
        told["models"] = [catalogue.trainer(name).architecture.name for name in config.training.models]
    if config.data is not None:
        require_source(config.data.source)
        told["source"] = config.data.source
        if with_data:
            told |= _told_of_data(config, folder)
    return told


def _told_of_data(config: Config, folder: "StateFolder | None") -> dict[str, object]:
    from edge_agent.data.check import check_data  # noqa: PLC0415 -- as above
    from edge_agent.data.keeper import Told  # noqa: PLC0415 -- as above
    from edge_agent.data.verdict import why_of  # noqa: PLC0415 -- as above

    found = check_data(config, folder, progress=Told(lambda text: say(text, err=True)))
    told: dict[str, Any] = {"usable": found.usable, "rows": found.rows, "features": list(found.features), "labels": _labels(found)}
    told |= _contract(config)
    told["fits"] = [name for name in found.models if name not in found.misfits and found.problem is None]
    told["problems"] = [_problem(one.model, one.text, one.next) for one in why_of(found)]
    told["warnings"] = _warnings(found)
    return told


def _contract(config: Config) -> dict[str, object]:
    """The data contract and the column that each of its names is read from."""
    from hushfleet.program.contract import load_contract  # noqa: PLC0415 -- as above

    if config.data is None or config.data.contract is None:
        return {"order": "on trust: no data contract says what each column means"}
    made, own = load_contract(config.data.contract), config.data.columns
    places = [f"feature {place}: {one.name} from {own.get(one.name, one.name)}" for place, one in enumerate(made.features, start=1)]
    classes = [f"label {place}: {text}" for place, text in enumerate(made.labels)] or [f"label: the number in {made.label}"]
    return {"contract": f"{made.name} {made.digest.hex()[:16]}", "mapping": [*places, *classes]}


def _labels(found: "Findings") -> list[float] | str:
    """The classes that were found, or that the labels are numbers."""
    if found.labels is None:
        return "numbers"
    return [int(label) for label in sorted(found.labels)]


def _problem(model: str, text: str, next_step: str) -> str:
    about = f"does not fit {model}: " if model else ""
    return f"{about}{text}{'. ' + next_step if next_step else ''}"


def _warnings(found: "Findings") -> list[str]:
    if found.problem is not None or not found.looks_raw or found.largest is None:
        return []
    place = int(found.largest.argmax())
    text = f"feature {place + 1} reaches {found.largest[place]:.3g}: features look raw, and a model trains on them badly or not at all"
    return [f"{text}. Scale every feature to about -3 to 3, by the same rule on every device."]


def _lines(told: dict[str, object]) -> Iterator[str]:
    """The findings for a person: a line each, and a line for each part of what is a list of texts."""
    for name, value in told.items():
        if isinstance(value, list) and any(isinstance(one, str) for one in value):
            yield f"{name}:"
            yield from (f"  {one}" for one in value)
        else:
            yield f"{name}: {', '.join(map(str, value)) or 'none' if isinstance(value, list) else value}"
