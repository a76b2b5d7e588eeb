"""Commands as they are suggested to a person: quoted for a shell, and for the same party as the command that suggests them."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import click
from click.core import ParameterSource

PROGRAM = "hushfleet"

PARTY_OPTIONS = frozenset({"state", "config_path", "service", "vault", "passphrase_file", "passphrase_fd"})
"""The options that say which party a command works for, by the names of their parameters. A suggestion keeps those that were typed."""


def typed(*words: str | Path) -> str:
    """`hushfleet` with these words, to be typed where the present command was.

    Words are quoted where a shell needs it. Options that name the party (`--state`, `--vault`, ...) are added as they were typed, if
    the suggested command is of the same program and has them. What the environment says needs no repeating.
    """
    given = [str(word) for word in words]
    context = click.get_current_context(silent=True)
    kept = tuple(_kept(context, given)) if context else ()
    return shlex.join((PROGRAM, *given, *kept))


def _kept(context: click.Context, words: list[str]) -> Iterator[str]:
    root = context.find_root()
    target = root.command if root.command.name == words[0] else _member(root, root.command, words[0])
    if target is None or not any(one.command is target for one in _lineage(context)):
        return
    for word in words[1:]:
        target = _member(root, target, word) or target
    has = {parameter.name for parameter in target.params}
    for one in _lineage(context):
        for parameter in one.command.params:
            if parameter.name in PARTY_OPTIONS & has and _fits(parameter, words):
                yield from _as_typed(one, parameter)


def _member(root: click.Context, command: click.Command, word: str) -> click.Command | None:
    return command.get_command(root, word) if isinstance(command, click.Group) else None


def _lineage(context: click.Context | None) -> Iterator[click.Context]:
    while context is not None:
        yield context
        context = context.parent


def _fits(parameter: click.Parameter, words: list[str]) -> TypeGuard[click.Option]:
    said = {"--service", "--state"} if parameter.name in ("service", "state") else set(parameter.opts)
    return isinstance(parameter, click.Option) and not said & set(words)


def _as_typed(context: click.Context, option: click.Option) -> Iterator[str]:
    name = option.name or ""
    if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
        yield option.opts[0]
        if not option.is_flag:
            yield str(context.params[name])
