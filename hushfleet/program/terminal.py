"""The terminal as every program uses it: the options that commands share, lines, one question, and one JSON object as the result.

Everything that a program prints goes through here, so that no name, reason or version that came from elsewhere reaches a terminal
as it is: a line is given whole, and each character of it that is not plain text is shown as its escape. A rich console is
`orchestrator.console.PlainConsole`, and a log has `edge_agent.logs.Lines`; both do the same.
"""

import json
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

import click

from hushfleet.system.plain_text import plain


class ExitCode(IntEnum):
    """The meanings of exit codes, the same for every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    TRY_LATER = 75
    CANNOT_START = 78
    """Storage that a restart cannot mend: units do not restart it."""


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
    if not click.confirm(plain(question), err=True):
        raise click.ClickException("nothing was changed")


def say(*lines: str, err: bool = False) -> None:
    """Print lines on standard output, or standard error with `err`. A line break inside a line is shown as its escape."""
    for line in lines:
        click.echo(plain(line), err=err)


def say_in_place(text: str) -> None:
    """Write the moving line of standard error anew. Empty text leaves it."""
    click.echo(f"\r{plain(text)}" if text else "", err=True, nl=not text)


def print_json(body: Mapping[str, Any]) -> None:
    """Print the result of a command with `--json`: one object on one line of standard output."""
    click.echo(json.dumps(body).replace("\x7f", "\\u007f"))  # the one control character that JSON writes as it is


def say_traceback(error: BaseException) -> None:
    """Print a defect's traceback on standard error."""
    say(*"".join(traceback.format_exception(error)).splitlines(), err=True)


def keep_terminal_plain() -> None:
    """Send what Python itself would print through `say`: tracebacks of the program and its threads, warnings, logs of libraries."""
    sys.excepthook = lambda _, error, __: say_traceback(error)
    threading.excepthook = lambda told: say_traceback(told.exc_value) if told.exc_value is not None else None
    sys.unraisablehook = lambda told: say_traceback(told.exc_value) if told.exc_value is not None else None
    warnings.showwarning = lambda message, kind, *_: say(f"Warning: {kind.__name__}: {message}", err=True)
    logging.lastResort = _Last(logging.WARNING)


class _Last(logging.Handler):
    """The handler for loggers that nobody configured."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message without a traceback."""
        say(record.getMessage(), err=True)
