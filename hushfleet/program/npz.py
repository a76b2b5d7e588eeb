"""Arrays from a file of `numpy.savez`, for the settings that name them: read in parts, and nothing is ever unpickled."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from hushfleet.errors import DataError, Refusal
from hushfleet.system.files import kind_of

Numbers = npt.NDArray[Any]

_SUFFIX = ".npy"
_NUMBERS = "fiub"
_MANY_ROWS = 1 << 16
_MOST_PART_BYTES = 1 << 30
"""The most that is read at once, whatever a header states: a file of a few kB can hold terabytes of zeros."""
_DAMAGED = (
    *(EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, RuntimeError, NotImplementedError, ValueError),
    *(OverflowError, MemoryError, KeyError, IndexError, TypeError, SyntaxError),
)


def read_arrays(path: Path, features: str, labels: str, *, section: str) -> tuple[Numbers, Numbers]:
    """The two arrays of these names, whole. `section` is the table of the settings file that names them, for the refusal's next step.

    Raises `DataError`: `DATA_SOURCE` if the file cannot be read, is no npz, or has no such array of numbers; `DATA_SHAPE` if they are
    not rows, or not equally many.
    """
    first, second = zip(*read_parts(path, features, labels, section=section, rows=_MANY_ROWS), strict=True)
    return np.concatenate(first), np.concatenate(second)


def read_parts(path: Path, features: str, labels: str, *, section: str, rows: int) -> Iterator[tuple[Numbers, Numbers]]:
    """The two arrays of these names, `rows` rows at a time; at least one part, which may have no rows. Raises as `read_arrays`.

    Memory follows the size of a part, but for an array that was stored column by column: that one is held whole.
    """
    with ExitStack() as opened, _refused(path, f"Check [{section}] path."):
        archive = opened.enter_context(zipfile.ZipFile(path))
        first = _Stored(opened, archive, path, features, f"[{section}] features")
        second = _Stored(opened, archive, path, labels, f"[{section}] labels")
        yield from _parts(first, second, rows)


def array_names(path: Path, *, next_step: str) -> tuple[str, ...]:
    """The names of the arrays in the file. Raises `DataError(DATA_SOURCE)` if it cannot be read or is no npz."""
    with _refused(path, next_step), zipfile.ZipFile(path) as archive:
        return _names(archive)


def _names(archive: zipfile.ZipFile) -> tuple[str, ...]:
    return tuple(member.removesuffix(_SUFFIX) for member in archive.namelist() if member.endswith(_SUFFIX))


@contextmanager
def _refused(path: Path, check: str) -> Iterator[None]:
    """The one list of what damaged files raise."""
    try:
        if kind_of(path):
            raise ValueError  # a FIFO would block
        yield
    except FileNotFoundError as error:
        raise DataError(Refusal.DATA_SOURCE, f"there is no file {path}", next_step=check) from error
    except OSError as error:
        raise DataError(Refusal.DATA_SOURCE, f"{path} cannot be read: {error.strerror}", next_step=check) from error
    except _DAMAGED as error:
        message = f"{path} is no npz file, or a damaged one"
        raise DataError(Refusal.DATA_SOURCE, message, next_step=f"{check} numpy.savez writes such files.") from error


class _Stored:
    """One array in the file, read from its first row on."""

    def __init__(self, opened: ExitStack, archive: zipfile.ZipFile, path: Path, name: str, setting: str) -> None:
        names = _names(archive)
        if name not in names:
            message = f"{path} holds no array {name!r}; it holds {', '.join(names) or 'none'}"
            raise DataError(Refusal.DATA_SOURCE, message, next_step=f"Check {setting}.")
        self._file: IO[bytes] = opened.enter_context(archive.open(name + _SUFFIX))
        shape, in_columns, dtype = _header(self._file)
        if dtype.kind not in _NUMBERS:
            message = f"{path}: the array {name!r} does not hold plain numbers"
            raise DataError(Refusal.DATA_SOURCE, message, next_step=f"Check {setting}: store an array of numbers.")
        if not shape:
            raise DataError(Refusal.DATA_SHAPE, f"{path}: the array {name!r} is one number, not rows of numbers")
        if min(shape) < 0:
            raise ValueError
        self.shape, self._dtype, self._begin = shape, dtype, 0
        self._whole = self._read(shape[0]).reshape(shape[::-1]).T if in_columns else None

    def rows(self, count: int) -> Numbers:
        """The next `count` rows. EOFError if the file ends before them."""
        begin, self._begin = self._begin, self._begin + count
        if self._whole is not None:
            return self._whole[begin : begin + count]
        return self._read(count).reshape(count, *self.shape[1:])

    def _read(self, rows: int) -> Numbers:
        size = rows * prod(self.shape[1:]) * self._dtype.itemsize
        if not 0 <= size <= _MOST_PART_BYTES:
            raise ValueError
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError
        return np.frombuffer(data, dtype=self._dtype)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, "np.dtype[Any]"]:
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError
    return npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)


def _parts(features: _Stored, labels: _Stored, rows: int) -> Iterator[tuple[Numbers, Numbers]]:
    count = features.shape[0]
    if count != labels.shape[0]:
        row = min(count, labels.shape[0])
        raise DataError(Refusal.DATA_SHAPE, f"{count} rows of features, {labels.shape[0]} of labels", row=row)
    for begin in range(0, max(count, 1), rows):
        taken = min(rows, count - begin)
        yield features.rows(taken), labels.rows(taken)
