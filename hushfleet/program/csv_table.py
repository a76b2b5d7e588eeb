"""A CSV file with a header line, for the settings that name its columns; features `"*"` means all but the labels.

Read line by line and handed on in parts, so that memory follows neither the file's size nor its looks. Refusals name file, line,
column and what was expected there, never what stands there.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hushfleet.errors import DataError, Refusal
from hushfleet.program.contract import Contract, Feature

Numbers = npt.NDArray[np.float64]
Lines = npt.NDArray[np.int64]

_ALL = "*"
_OTHER_DELIMITERS = (";", "\t", "|")
_MOST_NAMES = 30
_NUMBER = "a number"


class _Reader(Protocol):
    """A csv reader."""

    @property
    def line_num(self) -> int:
        """Lines of the file read so far."""

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class CsvColumns:
    """The columns that settings name. `table` is the table of the settings file with these keys, `options` the one with the other two.

    Raises `DataError(DATA_SOURCE)` for a delimiter or decimal point that is not one character.
    """

    features: str | Sequence[str]
    labels: str | Sequence[str]
    delimiter: object = ","
    decimal: object = "."
    table: str = "[data]"
    options: str = "[data.options]"
    contract: Contract | None = None
    own: Mapping[str, str] = field(default_factory=dict)
    """From names of the contract to this file's own, where they differ."""

    def __post_init__(self) -> None:
        if any(not isinstance(one, str) or len(one) != 1 for one in (self.delimiter, self.decimal)):
            raise DataError(Refusal.DATA_SOURCE, "delimiter and decimal are one character each", next_step=f"Check {self.options}.")

    @property
    def place(self) -> str:
        """The next step for a file that cannot be read."""
        where = "a relative one counts from the file that names it"
        return f"Check {self.table} path: {where}; typed or in the environment, from the folder where you are."


def read_table(path: Path, wanted: CsvColumns, *, rows: int) -> Iterator[tuple[Numbers, Numbers, Lines]]:
    """Features (n, columns), labels (n,), or (n, k) for a list of k labels, and the line of each row, up to `rows` rows at a time.

    Raises `DataError`: `DATA_SOURCE` for a file or column that is not there, `DATA_VALUE` with line and column for what is not a
    number, `DATA_NOT_FINITE` likewise.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=str(wanted.delimiter), strict=True)
            yield from _Table(path, reader, wanted).parts(rows)
    except FileNotFoundError as error:
        raise DataError(Refusal.DATA_SOURCE, f"there is no file {path}", next_step=wanted.place) from error
    except UnicodeDecodeError as error:
        message = f"{path} is no text in UTF-8"
        raise DataError(Refusal.DATA_SOURCE, message, next_step="Save it as CSV in UTF-8.") from error
    except OSError as error:
        raise DataError(Refusal.DATA_SOURCE, f"{path} cannot be read: {error.strerror}", next_step=wanted.place) from error


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    place: int


class _Table:
    """One file being read."""

    def __init__(self, path: Path, reader: _Reader, settings: CsvColumns) -> None:
        self._path, self._reader, self._decimal = path, reader, str(settings.decimal)
        self._table, self._options = settings.table, settings.options
        self._header = [name.strip() for name in self._next() or []]
        self._contract, own = settings.contract, settings.own
        if self._contract is not None:
            labels = self._columns(own.get(self._contract.label, self._contract.label), "columns")
            features = self._columns([own.get(one.name, one.name) for one in self._contract.features], "columns")
        else:
            labels = self._columns(settings.labels, "labels")
            rest = tuple(name for name in self._header if name not in labels)
            features = self._columns(rest if settings.features == _ALL else settings.features, "features")
        self._wanted = [_Column(name, self._header.index(name)) for name in (*features, *labels)]
        self._features, self._one_label = len(features), self._contract is not None or isinstance(settings.labels, str)
        self._bounds = [*self._contract.features, None] if self._contract is not None else [None] * len(self._wanted)
        self._classes = {text: float(place) for place, text in enumerate(self._contract.labels)} if self._contract is not None else {}

    def parts(self, rows: int) -> Iterator[tuple[Numbers, Numbers, Lines]]:
        """All rows, `rows` at a time. An empty line is no row."""
        numbers: list[list[float]] = []
        lines: list[int] = []
        while (row := self._next()) is not None:
            if not row or self._skipped(row):
                continue
            numbers.append(self._numbers(row))
            lines.append(self._reader.line_num)
            if len(lines) == rows:
                yield self._part(numbers, lines)
                numbers, lines = [], []
        if lines:
            yield self._part(numbers, lines)

    def _next(self) -> list[str] | None:
        try:
            return next(self._reader, None)
        except csv.Error as error:
            what = "broken quotes, or a field that is too long"
            raise DataError(Refusal.DATA_SOURCE, what, file=str(self._path), line=self._reader.line_num) from error

    def _columns(self, names: str | Sequence[str], what: str) -> tuple[str, ...]:
        wanted = (names,) if isinstance(names, str) else tuple(names)
        unknown = [name for name in wanted if self._header.count(name) != 1]
        if not unknown and wanted:
            return wanted
        if any(_is_number(name) for name in self._header):
            message = "the first line holds numbers instead of column names"
            next_step = "Write a line of names above the rows."
            where = {"file": str(self._path), "expected": "column names"}
            raise DataError(Refusal.DATA_SOURCE, message, line=1, next_step=next_step, **where)  # type: ignore[arg-type]
        hint = self._delimiter_hint()
        if hint:
            message = f"{self._path}: the first line is one column; {hint!r} stands between the names"
            raise DataError(Refusal.DATA_SOURCE, message, next_step=f"Under {self._options} write: delimiter = {_quoted(hint)}")
        there = ", ".join(self._header[:_MOST_NAMES]) or "no names"
        message = f"{self._path}: not one column of the name {', '.join(map(repr, unknown)) or 'asked for'}; the first line has {there}"
        raise DataError(Refusal.DATA_SOURCE, message, next_step=f"Check {self._table} {what}.")

    def _delimiter_hint(self) -> str:
        """The character that seems to separate the names of a header that was read as one name; empty if none does."""
        return next((one for one in _OTHER_DELIMITERS if len(self._header) == 1 and one in self._header[0]), "")

    def _numbers(self, row: list[str]) -> list[float]:
        if len(row) != len(self._header):
            what = f"{len(row)} values under {len(self._header)} column names"
            raise self._wrong(what, "", f"{len(self._header)} values")
        return [self._value(row[column.place], place) for place, column in enumerate(self._wanted)]

    def _skipped(self, row: list[str]) -> bool:
        """True for a row with an empty cell, where the contract says so."""
        if self._contract is None or self._contract.missing != "skip" or len(row) != len(self._header):
            return False
        return any(_is_empty(row[column.place]) for column in self._wanted)

    def _value(self, cell: str, place: int) -> float:
        column, bounds = self._wanted[place].name, self._bounds[place]
        if self._classes and place == len(self._wanted) - 1:
            return self._class(cell, column)
        if self._contract is not None and isinstance(self._contract.missing, float) and _is_empty(cell):
            return self._contract.missing
        number = self._number(cell, column)
        if bounds is not None and not _within(number, bounds):
            raise self._wrong("outside the range of the data contract", column, f"a number from {bounds.low} to {bounds.high}")
        return number

    def _class(self, cell: str, column: str) -> float:
        """The number of the class that a cell names: as the contract writes it, or as the same number (`2.0` for `2`)."""
        text = cell.strip()
        found = self._classes.get(text, self._classes.get(text.removesuffix(".0")))
        if found is None:
            expected = " or ".join(list(self._classes)[:_MOST_NAMES])
            raise self._wrong(f"no label of the data contract, which has {expected}", column, expected)
        return found

    def _number(self, cell: str, column: str) -> float:
        text = cell if self._decimal == "." else cell.replace(self._decimal, ".")
        try:
            return float(text)
        except ValueError:
            pass
        if not cell.strip():
            raise self._wrong("the cell is empty", column, _NUMBER)
        if _is_number(cell.replace(",", ".", 1)):
            message = "a number with a decimal comma"
            raise self._wrong(message, column, _NUMBER, next_step=f'Under {self._options} write: decimal = ","')
        raise self._wrong(f"not {_NUMBER}", column, _NUMBER)

    def _wrong(self, what: str, column: str, expected: str, *, next_step: str = "") -> DataError:
        next_step = next_step or "Correct the file."
        line, file = self._reader.line_num, str(self._path)
        return DataError(Refusal.DATA_VALUE, what, line=line, column=column, expected=expected, file=file, next_step=next_step)

    def _part(self, numbers: list[list[float]], lines: list[int]) -> tuple[Numbers, Numbers, Lines]:
        table = np.array(numbers, dtype=np.float64)
        self._require_finite(table, lines)
        targets = table[:, self._features :]
        return table[:, : self._features], targets[:, 0] if self._one_label else targets, np.array(lines, dtype=np.int64)

    def _require_finite(self, table: Numbers, lines: list[int]) -> None:
        bad = np.argwhere(~np.isfinite(table))
        if len(bad):
            row, column = (int(one) for one in bad[0])
            what, name = "not a finite number", self._wanted[column].name
            raise DataError(Refusal.DATA_NOT_FINITE, what, file=str(self._path), line=lines[row], column=name, expected="a finite number")


def _is_empty(cell: str) -> bool:
    """True for a cell that holds nothing, as programs write it."""
    return cell.strip().lower() in ("", "na", "nan", "null")


def _within(number: float, bounds: Feature) -> bool:
    return (bounds.low is None or number >= bounds.low) and (bounds.high is None or number <= bounds.high)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _quoted(character: str) -> str:
    return '"\\t"' if character == "\t" else f'"{character}"'
