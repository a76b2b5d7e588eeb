"""TOML files as typed settings, for every program: each wrong line is named at once, with its number.

A file is a `msgspec.Struct` whose fields are tables, themselves structs with `forbid_unknown_fields=True`. Constraints stand in
the types (`Annotated[int, Meta(ge=1)]`), everything else in a table's `__post_init__` (ValueError, or `TableError` for several).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from hushfleet.errors import LocalError, Refusal
from hushfleet.expectations import mismatch
from hushfleet.system.files import read_named
from hushfleet.system.formats import UnreadableError, from_toml

T = TypeVar("T", bound=msgspec.Struct)

_HEADER = re.compile(r"\s*\[\s*([A-Za-z0-9_-]+)\s*\]\s*(#.*)?")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong thing in a file. `key` may be empty (the table itself is wrong); the line is looked up from both."""

    table: str
    key: str
    text: str


Text = Annotated[str, msgspec.Meta(min_length=1)]
"""Something; a setting that may be missing is None."""


class BrokerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings that differ from the bundle. No message exceeds `max_bytes`, nor what the broker allows."""

    host: Text | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    max_bytes: Annotated[int, msgspec.Meta(ge=1024, le=130_000)] = 120_000
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 60


class TestingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Never in production: `insecure_keys` accepts threshold keys that anyone can break."""

    __test__ = False  # pytest: a class of settings, not of tests

    insecure_keys: bool = False


def read_settings(kind: type[T], path: Path, *, next_step: str, environment: Mapping[str, str] | None = None, prefix: str = "") -> T:
    """The settings in the file at `path`; relative paths in it count from its folder.

    `environment` with `prefix` overrides single values: PREFIX_TABLE_KEY, written plainly or as in the file, such as `["a", "b"]`; a
    relative path there counts from the working directory. Raises `FileNotFoundError`,
    `LocalError(CONFIG_INVALID)` with every mistake and `next_step`.
    """
    text = text_of(path, next_step=next_step)
    return parse_settings(kind, text, source=path, next_step=next_step, environment=environment, prefix=prefix)


_MOST_BYTES = 1 << 20


def text_of(path: Path, *, next_step: str) -> str:
    """The text of a file of settings. Raises `FileNotFoundError`, `LocalError(CONFIG_INVALID)` if it is none."""
    try:
        return read_named(path, _MOST_BYTES).decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise LocalError(Refusal.CONFIG_INVALID, f"{path} is no text in UTF-8: {error.reason}", next_step=next_step) from error


def parse_settings(
    kind: type[T],
    text: str,
    *,
    source: Path,
    next_step: str,
    environment: Mapping[str, str] | None = None,
    prefix: str = "",
    parse_float: Callable[[str], object] = float,
) -> T:
    """As `read_settings`, from a text that is, or would be, the file `source`. `parse_float=Decimal` keeps what was typed."""
    tables = _toml(text, source, next_step, parse_float)
    reading = _Reading(source.absolute().parent, [], prefix)
    settings = reading.file(kind, tables, {} if environment is None else _overrides(kind, environment, prefix))
    if settings is None:
        raise wrong(source, text, reading.mistakes, next_step)
    return settings


def parse_what_is_right(
    kind: type[T], text: str, *, source: Path, next_step: str, stand_ins: Mapping[str, msgspec.Struct]
) -> tuple[T, tuple[Mistake, ...], frozenset[str]]:
    """The settings in a text with a stand-in for each table that is wrong or missing, the mistakes, and the tables stood in for.

    For a program that compares settings with the world: one wrong key must not hide what is wrong elsewhere. `stand_ins`: one for every
    table that is required. Raises `LocalError(CONFIG_INVALID)` for a text that is not TOML.
    """
    reading = _Reading(source.absolute().parent, [])
    read = reading.tables(kind, _toml(text, source, next_step), {})
    right = {name: value for name, value in read.items() if value is not None}
    missing = {field.name for field in msgspec.structs.fields(kind) if field.required}
    stood_in = frozenset((read.keys() | missing) - right.keys())
    settings = kind(**{**{name: value for name, value in stand_ins.items() if name in stood_in}, **right})
    return settings, tuple(reading.mistakes), stood_in


def _toml(text: str, source: Path, next_step: str, parse_float: Callable[[str], object] = float) -> dict[str, Any]:
    try:
        return from_toml(text, parse_float=parse_float)
    except UnreadableError as error:
        raise LocalError(Refusal.CONFIG_INVALID, f"{source} is not TOML: {error}", next_step=next_step) from error


def strange_variables(
    kind: type[msgspec.Struct], environment: Mapping[str, str], prefix: str, others: Sequence[str] = ()
) -> tuple[str, ...]:
    """A warning for each variable that begins like ours and means nothing: an override with a slip in its name goes unnoticed.

    `others`: what may follow `prefix` besides the keys of `kind`.
    """
    known = (*_variables(kind, ""), *others)
    strange = sorted({name.removeprefix(prefix) for name in environment if name.startswith(prefix)} - set(known))
    meant = {name: get_close_matches(name, known, n=1) for name in strange}
    return tuple(
        f"{prefix}{name} in the environment means nothing" + (f"; did you mean {prefix}{close[0]}?" if close else ".")
        for name, close in meant.items()
    )


def wrong(source: Path, text: str, mistakes: list[Mistake], next_step: str) -> LocalError:
    """One error for all `mistakes` in a file: also for what a program finds only when it compares the settings with the world."""
    lines = sorted({_told(text, one) for one in mistakes}, key=lambda told: (told[0] or 0, told[1]))
    listed = "\n".join(f"  line {number}: {what}" if number else f"  {what}" for number, what in lines)
    count = "1 thing is" if len(lines) == 1 else f"{len(lines)} things are"
    return SettingsError(f"{source}: {count} wrong\n{listed}", lines, next_step=next_step)


class SettingsError(LocalError):
    """Everything that is wrong with one file (`CONFIG_INVALID`). `mistakes`: a line, None if it cannot be told, and a text each."""

    def __init__(self, message: str, mistakes: Sequence[tuple[int | None, str]], *, next_step: str) -> None:
        super().__init__(Refusal.CONFIG_INVALID, message, next_step=next_step)
        self.mistakes = tuple(mistakes)


class TableError(ValueError):
    """Several mistakes of one table at once, each a key and a text; for its `__post_init__`."""

    def __init__(self, mistakes: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(text for _, text in mistakes))
        self.mistakes = tuple(mistakes)


@dataclass
class _Reading:
    """One file being read: the folder that relative paths count from, what was wrong so far, and the prefix of variables."""

    folder: Path
    mistakes: list[Mistake]
    prefix: str = ""

    def file(self, kind: type[T], tables: Mapping[str, Any], overrides: Mapping[tuple[str, str], str]) -> T | None:
        read = self.tables(kind, tables, overrides)
        return None if self.mistakes else kind(**read)

    def tables(self, kind: type[msgspec.Struct], tables: Mapping[str, Any], overrides: Mapping[tuple[str, str], str]) -> dict[str, Any]:
        """Each table that is there, by its field; None for one that is wrong."""
        known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        for name in tables.keys() - known.keys():
            self._note(name, "", f"there is no table [{name}] here; there are {_listed(known)}")
        read: dict[str, Any] = {}
        for name, field in known.items():
            own = {key: value for (table, key), value in overrides.items() if table == name}
            if name in tables or own:
                read[field.name] = self._table(name, _struct_in(field.type), tables.get(name, {}), own)
            elif field.required:
                self._note(name, "", f"the table [{name}] is missing")
        return read

    def _table(self, name: str, kind: type[msgspec.Struct], given: object, overrides: Mapping[str, str]) -> object:
        if not isinstance(given, dict):
            self._note(name, "", f"{name} is a table: write [{name}], then its keys")
            return None
        before = len(self.mistakes)
        read = dict(self._values(name, kind, given, overrides))
        if len(self.mistakes) > before:
            return None
        try:
            return kind(**read)
        except TableError as error:
            for key, text in error.mistakes:
                self._note(name, key, f"[{name}] {text}")
        except ValueError as error:
            self._note(name, "", f"[{name}] {error}")
        return None

    def _values(
        self, table: str, kind: type[msgspec.Struct], given: Mapping[str, Any], overrides: Mapping[str, str]
    ) -> Iterator[tuple[str, object]]:
        known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        for key in given.keys() - known.keys():
            self._note(table, key, f"[{table}] has no key {key}; it has {_listed(known)}")
        for key, field in known.items():
            if key in given or key in overrides:
                try:
                    if key in overrides:
                        yield field.name, _from_variable(overrides[key], field.type)
                    else:
                        yield field.name, msgspec.convert(given[key], field.type, dec_hook=self._path)
                except msgspec.ValidationError:
                    given_value = overrides[key] if key in overrides else given[key]
                    self._note_value(table, key, mismatch(field.type, given_value), variable=key in overrides)
            elif field.required:
                self._note(table, "", f"[{table}] {key} is missing")

    def _path(self, kind: type, value: object) -> object:
        return _path_in(self.folder, kind, value)

    def _note_value(self, table: str, key: str, text: str, *, variable: bool) -> None:
        if variable:
            self._note("", "", f"{_variable(self.prefix, table, key)} in the environment: {text}")
        else:
            self._note(table, key, f"[{table}] {key}: {text}")

    def _note(self, table: str, key: str, text: str) -> None:
        self.mistakes.append(Mistake(table, key, text))


def _path_in(folder: Path, kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str) and value:
        return folder / Path(value).expanduser()
    raise ValueError("Expected a path in quotes")


def _from_variable(text: str, kind: Any) -> object:  # noqa: ANN401 -- a field's type
    """The value that a variable's text means: as it is, or as it would stand in the file, or a list with commas between.

    Raises `msgspec.ValidationError`.
    """
    place = partial(_path_in, Path.cwd())
    readings: list[object] = [text]
    if text[:1] in ("[", "{"):
        with suppress(UnreadableError):
            readings.insert(0, from_toml(f"value = {text}")["value"])
    else:
        readings.append([one.strip() for one in text.split(",") if one.strip()])
    for value in readings:
        with suppress(msgspec.ValidationError):
            return msgspec.convert(value, kind, strict=False, dec_hook=place)
    return msgspec.convert(text, kind, strict=False, dec_hook=place)  # raises, in the words that fit the text


def _variable(prefix: str, table: str, key: str) -> str:
    return f"{prefix}{table}_{key}".upper()


def _struct_in(kind: Any) -> type[msgspec.Struct]:  # noqa: ANN401 -- a type, or a union with None
    for one in getattr(kind, "__args__", (kind,)):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one
    raise TypeError(f"{kind} is no table")


def _overrides(kind: type[msgspec.Struct], environment: Mapping[str, str], prefix: str) -> dict[tuple[str, str], str]:
    return {place: environment[name] for name, place in _variables(kind, prefix).items() if name in environment}


def _variables(kind: type[msgspec.Struct], prefix: str) -> dict[str, tuple[str, str]]:
    """The environment's name for each key, with its table."""
    return {
        _variable(prefix, table.encode_name, field.encode_name): (table.encode_name, field.encode_name)
        for table in msgspec.structs.fields(kind)
        for field in msgspec.structs.fields(_struct_in(table.type))
    }


def _told(text: str, mistake: Mistake) -> tuple[int | None, str]:
    return _line(text, mistake.table, mistake.key), mistake.text


def _line(text: str, table: str, key: str) -> int | None:
    """The line on which `key` of `table`, or its header, stands; None if that cannot be seen line by line."""
    here = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            here = header[1]
            if here == table and not key:
                return number
        elif here == table and key and (found := _KEY.match(line)) and found[1] == key:
            return number
    return None


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(names)
