"""Validation errors in the words of a person: what a place takes, with its limits and choices, and what was there instead.

The types say what is expected, so no limit and no choice is ever written twice, and no inner name of msgspec reaches anybody.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from msgspec import inspect

_INNER = re.compile(r" - at `[^`]*`")
_WORDS = {
    "array": "a list", "int": "a whole number", "float": "a number", "str": "a text", "bytes": "bytes", "bool": "true or false",
    "object": "a table", "null": "nothing", "ext": "an extension",
}  # fmt: skip
_OTHERS: dict[type, str] = {
    inspect.DecimalType: "a number", inspect.BoolType: "true or false", inspect.DictType: "a table", inspect.StructType: "a table",
}  # fmt: skip
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "a text in quotes"), (list, "a list"), (tuple, "a list"),
    (dict, "a table"), (type(None), "nothing"),
)  # fmt: skip


def mismatch(kind: Any, value: object) -> str:  # noqa: ANN401 -- a type, as annotations have it
    """The text for a `value` that is no `kind`: the expected and the given. Shows numbers and wrong choices, never other texts."""
    info = inspect.type_info(kind)
    expected, choices = " or ".join(dict.fromkeys(_expected(info))), tuple(_choices(info))
    close = get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    return f"expected {expected}, got {_given(value, choices)}" + (f"; did you mean {close[0]}?" if close else "")


def wire_text(kind: type, error: Exception) -> str:
    """The text for bytes that are no message of `kind`, without the name of a class or a field's number."""
    text = re.sub(r"`([a-z]+)`", lambda found: _WORDS.get(found[1], "something else"), _INNER.sub("", str(error)))
    return f"no {kind_text(kind)} that can be read: {text[:1].lower()}{text[1:]}"


def kind_text(kind: type) -> str:
    """The words for a class of messages: `bundle file` for `BundleFile`."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__.lstrip("_")).lower()


def _expected(info: inspect.Type) -> Iterator[str]:
    match info:
        case inspect.UnionType(types):
            for one in types:
                yield from _expected(one)
        case inspect.NoneType():
            return
        case inspect.LiteralType() | inspect.EnumType():
            yield "one of " + ", ".join(_choices(info))
        case inspect.VarTupleType(item) | inspect.ListType(item):
            yield f"a list, each part {' or '.join(_expected(item))}"
        case inspect.CustomType(cls) if cls is Path:
            yield "a path in quotes"
        case _:
            yield _simple(info)


def _simple(info: inspect.Type) -> str:
    if isinstance(info, inspect.IntType | inspect.FloatType):
        return ("a whole number" if isinstance(info, inspect.IntType) else "a number") + _bounds(info)
    if isinstance(info, inspect.StrType):
        return "a text in quotes" + (", not empty" if info.min_length == 1 else "")
    return _OTHERS.get(type(info), "another kind of value")


def _bounds(info: inspect.IntType | inspect.FloatType) -> str:
    sides = ((">=", info.ge), (">", info.gt), ("<=", info.le), ("<", info.lt))
    told = [f"{sign} {limit:g}" if isinstance(limit, float) else f"{sign} {limit}" for sign, limit in sides if limit is not None]
    return f" {' and '.join(told)}" if told else ""


def _choices(info: inspect.Type) -> Iterator[str]:
    match info:
        case inspect.LiteralType(values):
            yield from map(str, values)
        case inspect.EnumType(cls):
            yield from (str(one.value) for one in cls)
        case inspect.UnionType(types):
            for one in types:
                yield from _choices(one)


def _given(value: object, choices: tuple[str, ...]) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}" if isinstance(value, float) else f"{value}"
    if isinstance(value, str):
        return f"{value[:40]!r}" if choices else "a text in quotes" + ("" if value else " with nothing in it")
    return next((words for kind, words in _KINDS if isinstance(value, kind)), f"a {type(value).__name__.lower()}")
