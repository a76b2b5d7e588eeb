"""JSON and TOML that somebody else, a damaged disk or a slip of the hand may have changed: one reader for each, with one error.

The parsers raise many kinds of errors, some of them on rare input alone: numbers of five thousand digits, nesting without end, bytes
that are no UTF-8. A house test keeps every other module from calling them.
"""

import tomllib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)


class UnreadableError(ValueError):
    """The data are not of this format, or hold something else than was asked for."""


def from_json(data: bytes, kind: type[T]) -> T:
    """The value of type `kind` that JSON `data` hold. Raises `UnreadableError`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except _ERRORS as error:
        raise UnreadableError(_what(error)) from error


def from_toml(text: str, *, parse_float: Callable[[str], object] = float) -> dict[str, Any]:
    """The tables of a TOML `text`. Raises `UnreadableError`."""
    try:
        return tomllib.loads(text, parse_float=parse_float)
    except _ERRORS as error:
        raise UnreadableError(_what(error)) from error


def _what(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    return str(error)
