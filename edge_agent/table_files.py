"""Rows to predict for, from a csv or npz file, and predictions in one."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hushfleet.errors import DataError, Refusal
from hushfleet.program.csv_table import CsvColumns, read_table
from hushfleet.program.npz import read_arrays
from hushfleet.typed import typed

Array = npt.NDArray[Any]

_ROWS_AT_ONCE = 4096


def read_rows(path: Path, features: str | None, columns: Sequence[str]) -> Array:
    """The rows (n, ...) in `path`. `features` as a person typed them; `columns` are those of the model's contract, if it has one.

    Raises `DataError`: `DATA_SOURCE`, `DATA_VALUE`, `DATA_NOT_FINITE`.
    """
    try:
        if path.suffix == ".npz":
            name = features or "x"
            return read_arrays(path, name, name, section="predict")[0]
        return _csv_rows(path, tuple(features.split(",")) if features else tuple(columns) or _header(path))
    except DataError as error:
        place = {"row": error.row, "line": error.line, "column": error.column, "file": error.file}
        step = f"Name the file and its columns; see: {typed('agent', 'predict', '--help')}"
        raise DataError(error.reason, error.what, expected=error.expected, next_step=step, **place) from error  # type: ignore[arg-type]


def as_file(predictions: Array, named: Sequence[Any], path: Path) -> bytes:
    """The content of a file of the kind that `path` ends with: the array `predictions`, or a csv column of that name."""
    buffer = io.BytesIO()
    if path.suffix == ".npz":
        np.savez(buffer, predictions=predictions)
        return buffer.getvalue()
    return "".join(f"{line}\r\n" for line in ("prediction", *lines(named))).encode()


def lines(named: Sequence[Any]) -> list[str]:
    """One line of csv a row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for one in named:
        writer.writerow(one if isinstance(one, list) else [one])
    return out.getvalue().splitlines()


def _csv_rows(path: Path, names: tuple[str, ...]) -> Array:
    # The reader wants labels as well: the first column stands for them and is left out again.
    wanted = CsvColumns(names, names[0], table="the", options="the options")
    parts = [part for part, _, _ in read_table(path, wanted, rows=_ROWS_AT_ONCE)]
    return np.concatenate(parts) if parts else np.empty((0, len(names)))


def _header(path: Path) -> tuple[str, ...]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            names = tuple(name.strip() for name in next(csv.reader(file), []))
    except FileNotFoundError as error:
        raise DataError(Refusal.DATA_SOURCE, f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(Refusal.DATA_SOURCE, f"{path} cannot be read as csv in UTF-8") from error
    if not names:
        raise DataError(Refusal.DATA_SOURCE, f"{path} is empty")
    return names
