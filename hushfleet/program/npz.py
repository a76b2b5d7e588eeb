"""Arrays from a file of `numpy.savez`, for the settings that name them. Nothing is ever unpickled."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from hushfleet.errors import DataError, Refusal

Numbers = npt.NDArray[Any]


def read_arrays(path: Path, features: str, labels: str, *, section: str) -> tuple[Numbers, Numbers]:
    """The two arrays of these names. `section` is the table of the settings file that names them, for the refusal's next step.

    Raises `DataError(DATA_SOURCE)` if the file cannot be read, is no npz, or has no such array of numbers.
    """
    try:
        with path.open("rb") as file:
            arrays = _open(file)
            return _array(arrays, path, features, f"[{section}] features"), _array(arrays, path, labels, f"[{section}] labels")
    except (OSError, EOFError, zipfile.BadZipFile, ValueError) as error:  # ValueError: an array of objects, or no npz at all
        message = f"{path} cannot be read as npz: {error}"
        raise DataError(Refusal.DATA_SOURCE, message, next_step=f"Check [{section}] path.") from error


def _open(file: BinaryIO) -> Mapping[str, Numbers]:
    """The arrays by name, each read when it is asked for."""
    arrays = np.load(file, allow_pickle=False)
    if isinstance(arrays, np.ndarray):
        raise ValueError("one array without a name")  # noqa: TRY004 -- a wrong file, not a wrong argument
    return cast("Mapping[str, Numbers]", arrays)


def _array(arrays: Mapping[str, Numbers], path: Path, name: str, setting: str) -> Numbers:
    if name not in arrays:
        message = f"{path} holds no array {name!r}; it holds {', '.join(arrays) or 'none'}"
        raise DataError(Refusal.DATA_SOURCE, message, next_step=f"Check {setting}.")
    return arrays[name]
