"""Arrays in a file of `numpy.savez`: `features` and `labels` name one array each."""

import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from edge_agent.config import DataSettings
from hushfleet.errors import DataError, Refusal
from hushfleet.training import Data


def read(settings: DataSettings) -> Data:
    """Both arrays. Never unpickles. Raises `DataError`: `DATA_SOURCE` for a file or array that is not there, otherwise as `Data`."""
    if settings.path is None:
        raise DataError(Refusal.DATA_SOURCE, "the source npz needs a file", next_step="Set [data] path.")
    try:
        with settings.path.open("rb") as file:
            arrays = _arrays(file)
            return Data(_array(arrays, settings, "features"), _array(arrays, settings, "labels"))
    except (OSError, EOFError, zipfile.BadZipFile, ValueError) as error:  # ValueError: an array of objects, or no npz at all
        raise DataError(Refusal.DATA_SOURCE, f"{settings.path} cannot be read as npz: {error}", next_step="Check [data] path.") from error


def _arrays(file: BinaryIO) -> Mapping[str, npt.NDArray[Any]]:
    """By name, each read when it is asked for."""
    arrays = np.load(file, allow_pickle=False)
    if isinstance(arrays, np.ndarray):
        raise ValueError("one array without a name")  # noqa: TRY004 -- a wrong file, not a wrong argument
    return cast("Mapping[str, npt.NDArray[Any]]", arrays)


def _array(arrays: Mapping[str, npt.NDArray[Any]], settings: DataSettings, what: str) -> npt.NDArray[Any]:
    name = getattr(settings, what)
    if name not in arrays:
        message = f"{settings.path} holds no array {name!r}; it holds {', '.join(arrays) or 'none'}"
        raise DataError(Refusal.DATA_SOURCE, message, next_step=f"Check [data] {what}.")
    return arrays[name]
