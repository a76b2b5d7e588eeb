"""Arrays in a file of `numpy.savez`: `features` and `labels` name one array each."""

import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_agent.config import DataSettings
from hushfleet.errors import DataError, Refusal
from hushfleet.training import Data


def read(settings: DataSettings) -> Data:
    """Both arrays. Never unpickles. Raises `DataError`: `DATA_SOURCE` for a file or array that is not there, otherwise as `Data`."""
    try:
        with _opened(settings) as file:
            return Data(_array(file, settings, "features"), _array(file, settings, "labels"))
    except (OSError, zipfile.BadZipFile, ValueError) as error:  # ValueError: an array of objects, or no npz at all
        raise DataError(Refusal.DATA_SOURCE, f"{settings.path} cannot be read as npz: {error}", next_step="Check [data] path.") from error


def _opened(settings: DataSettings) -> "np.lib.npyio.NpzFile":
    if settings.path is None:
        raise DataError(Refusal.DATA_SOURCE, "the source npz needs a file", next_step="Set [data] path.")
    file = np.load(settings.path, allow_pickle=False)
    if isinstance(file, np.ndarray):
        raise ValueError("one array without a name")  # noqa: TRY004 -- a wrong file, not a wrong argument
    return file  # type: ignore[no-any-return]  # numpy types this as Any


def _array(file: Mapping[str, npt.NDArray[Any]], settings: DataSettings, what: str) -> npt.NDArray[Any]:
    name = getattr(settings, what)
    if name not in file:
        message = f"{settings.path} holds no array {name!r}; it holds {', '.join(file) or 'none'}"
        raise DataError(Refusal.DATA_SOURCE, message, next_step=f"Check [data] {what}.")
    return file[name]
