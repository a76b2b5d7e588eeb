"""A CSV file with a header line: `features` and `labels` name columns; `features = "*"` means all but the labels.

Read line by line into one typed array: memory is 8 bytes a number, whatever the file looks like. Option: `delimiter`, one character.
"""

import csv
from array import array
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from edge_agent.config import DataSettings
from hushfleet.errors import DataError, Refusal
from hushfleet.training import Data

_ALL = "*"


class _Lines(Protocol):
    """A csv reader."""

    @property
    def line_num(self) -> int:
        """Lines of the file read so far."""

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


def read(settings: DataSettings) -> Data:
    """Features (n, columns) and labels (n,), or (n, k) for a list of k labels.

    Raises `DataError`: `DATA_SOURCE` for a file or column that is not there, `DATA_VALUE` with line, column and row (from 0) for
    what is not a number, otherwise as `Data`.
    """
    if settings.path is None:
        raise DataError(Refusal.DATA_SOURCE, "the source csv needs a file", next_step="Set [data] path.")
    try:
        with settings.path.open(newline="", encoding="utf-8-sig") as file:
            return _table(csv.reader(file, delimiter=settings.options.get("delimiter", ","), strict=True), settings)
    except (OSError, UnicodeDecodeError, csv.Error, TypeError) as error:  # TypeError: a delimiter of two characters
        raise DataError(Refusal.DATA_SOURCE, f"{settings.path} cannot be read as csv: {error}", next_step="Check [data].") from error


def _table(lines: _Lines, settings: DataSettings) -> Data:
    header = [name.strip() for name in next(lines, [])]
    labels = _columns(header, settings.labels, "labels")
    rest = tuple(name for name in header if name not in labels)
    features = _columns(header, rest if settings.features == _ALL else settings.features, "features")
    columns = [(name, header.index(name)) for name in (*features, *labels)]
    numbers = array("d")
    for row_number, row in enumerate(_rows(lines, len(header))):
        numbers.extend(_numbers(row, columns, lines.line_num, row_number))
    table = np.array(numbers, dtype=np.float64).reshape(-1, len(columns))
    targets = table[:, len(features) :]
    return Data(table[:, : len(features)], targets[:, 0] if isinstance(settings.labels, str) else targets)


def _columns(header: Sequence[str], names: str | Sequence[str], what: str) -> tuple[str, ...]:
    wanted = (names,) if isinstance(names, str) else tuple(names)
    unknown = [name for name in wanted if header.count(name) != 1]
    if unknown or not wanted:
        there = ", ".join(header) or "no names"
        message = f"not one column of the name {', '.join(map(repr, unknown)) or 'asked for'}; the first line has {there}"
        raise DataError(Refusal.DATA_SOURCE, message, next_step=f"Check [data] {what}.")
    return wanted


def _rows(lines: _Lines, width: int) -> Iterator[list[str]]:
    count = 0
    for row in lines:
        if row and len(row) != width:
            raise DataError(Refusal.DATA_VALUE, f"line {lines.line_num}: {len(row)} values under {width} column names", row=count)
        if row:
            yield row
            count += 1


def _numbers(row: Sequence[str], columns: Sequence[tuple[str, int]], line: int, row_number: int) -> Iterator[float]:
    for name, place in columns:
        try:
            yield float(row[place])
        except ValueError:
            message = f"line {line}, column {name!r}: {row[place][:40]!r} is not a number"
            raise DataError(Refusal.DATA_VALUE, message, row=row_number) from None
