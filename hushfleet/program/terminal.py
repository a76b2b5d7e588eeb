"""The terminal as every program uses it: the options that commands share, one question, and one JSON object as the result."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line of standard output.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def state_option(environment: str, program: str) -> Callable[[Command], Command]:
    """The option `--state`, for the state folder of `program`. `environment` is the prefix of the program's variables."""
    help_text = f"The state folder. Default: $XDG_STATE_HOME/hushfleet/{program}."
    return click.option("--state", envvar=f"{environment}STATE", type=click.Path(file_okay=False, path_type=Path), help=help_text)


def config_option(environment: str, program: str) -> Callable[[Command], Command]:
    """The option `--config`, given to the command as `config_path`. `environment` is the prefix of the program's variables."""
    help_text = f"The configuration. Default: /etc/hushfleet/{program}.toml, if it is there."
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option("--config", "config_path", envvar=f"{environment}CONFIG", type=kind, help=help_text)


def ask(question: str, *, yes: bool, instead: str = "Answer at a terminal, or add --yes.") -> None:
    """Put a question on standard error and return for a yes, or at once with `yes`.

    Raises `click.ClickException` for a no; `click.UsageError` with `instead` where standard input is no terminal.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} {instead}")
    if not click.confirm(question, err=True):
        raise click.ClickException("nothing was changed")


def print_json(body: Mapping[str, Any]) -> None:
    """Print the result of a command with `--json`: one object on one line of standard output."""
    click.echo(json.dumps(body))
