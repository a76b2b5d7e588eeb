"""Rows that are ready to be trained on: read and checked, in one file of fixed shape and type that is mapped into memory.

The file is a header of 4096 bytes (JSON, filled up with spaces), then the rows, float64 in the machine's byte order: the features of a
row, its targets, and the line that it came from. It is written beside, fsynced and renamed, so that it is whole or not there; mode 0600,
for it is a copy of the training data.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import msgspec
import numpy as np

from edge_agent.data.block import BLOCK_ROWS, Block
from hushfleet.system.durable import sync_folder
from hushfleet.system.formats import UnreadableError, from_json
from hushfleet.training import Data

ROWS_FILE = "training.rows"
_HEADER_BYTES = 4096
_FORMAT = 1


class RowsHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shapes, the number of rows, and `origin`: what the rows were made of (`edge_agent.data.origin`)."""

    origin: str
    rows: int
    features: tuple[int, ...]
    targets: tuple[int, ...]
    has_lines: bool
    format: int = _FORMAT

    @property
    def width(self) -> int:
        """The numbers of one row in the file."""
        return prod(self.features) + prod(self.targets) + 1


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRows:
    """Rows in a file. `data` is mapped, not read: a batch costs the same whatever their number."""

    header: RowsHeader
    data: Data
    _lines: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"

    def blocks(self) -> Iterator[Block]:
        """All rows again, without their source."""
        for begin in range(0, len(self.data), BLOCK_ROWS):
            part = slice(begin, begin + BLOCK_ROWS)
            lines = self._lines[part].astype(np.int64) if self.header.has_lines else None
            yield Block(Data(self.data.features[part], self.data.targets[part]), lines)


class Writer:
    """A file of rows that is being made. `finish` puts it in place; otherwise nothing stays."""

    def __init__(self, folder: Path) -> None:
        self._path, self._beside = folder / ROWS_FILE, folder / (ROWS_FILE + ".part")
        self._beside.unlink(missing_ok=True)
        self._file: IO[bytes] = os.fdopen(os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._file.write(bytes(_HEADER_BYTES))
        self._rows, self._has_lines = 0, False

    def add(self, block: Block) -> None:
        """Write some rows. Raises OSError on a full disk."""
        data, count = block.data, len(block.data)
        table = np.empty((count, prod(data.features.shape[1:]) + prod(data.targets.shape[1:]) + 1))
        table[:, : prod(data.features.shape[1:])] = data.features.reshape(count, -1)
        table[:, prod(data.features.shape[1:]) : -1] = data.targets.reshape(count, -1)
        table[:, -1] = 0 if block.lines is None else block.lines
        self._file.write(table.tobytes())
        self._rows, self._has_lines = self._rows + count, block.lines is not None
        self._shapes = data.features.shape[1:], data.targets.shape[1:]

    def finish(self, origin: str) -> PreparedRows:
        """Make the file durable and put it in the place of the last one."""
        header = RowsHeader(origin, self._rows, *self._shapes, self._has_lines)
        self._file.seek(0)
        self._file.write(msgspec.json.encode(header).ljust(_HEADER_BYTES))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._beside.replace(self._path)
        sync_folder(self._path.parent)
        return _mapped(self._path, header)

    def drop(self) -> None:
        """Give the file up."""
        self._file.close()
        self._beside.unlink(missing_ok=True)


def load_prepared(folder: Path, origin: str) -> PreparedRows | None:
    """The rows that are in place, if they were made of `origin`; else None."""
    path = folder / ROWS_FILE
    try:
        with path.open("rb") as file:
            header = from_json(file.read(_HEADER_BYTES), RowsHeader)
    except (OSError, UnreadableError):
        return None
    whole = _HEADER_BYTES + 8 * header.rows * header.width
    if header.origin != origin or header.format != _FORMAT or header.rows < 1 or path.stat().st_size != whole:
        return None
    return _mapped(path, header)


def forget_prepared(folder: Path) -> None:
    """Remove the copy: its source is gone, or says something else."""
    (folder / ROWS_FILE).unlink(missing_ok=True)


def _mapped(path: Path, header: RowsHeader) -> PreparedRows:
    table = np.memmap(path, dtype=np.float64, mode="r", offset=_HEADER_BYTES, shape=(header.rows, header.width))
    split = prod(header.features)
    features = table[:, :split].reshape(header.rows, *header.features)
    targets = table[:, split:-1].reshape(header.rows, *header.targets)
    return PreparedRows(header, Data(features, targets), table[:, -1])
