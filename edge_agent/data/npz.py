"""Arrays in a file of `numpy.savez`: `features` and `labels` name one array each."""

from edge_agent.config import DataSettings
from hushfleet.errors import DataError, Refusal
from hushfleet.program.npz import read_arrays
from hushfleet.training import Data


def read(settings: DataSettings) -> Data:
    """Both arrays. Raises `DataError`: `DATA_SOURCE` for a file or an array that is not there, otherwise as `Data`."""
    if settings.path is None:
        raise DataError(Refusal.DATA_SOURCE, "the source npz needs a file", next_step="Set [data] path.")
    if not isinstance(settings.features, str) or not isinstance(settings.labels, str):
        message = "the source npz takes the name of one array, not a list of names"
        raise DataError(Refusal.DATA_SOURCE, message, next_step="Check [data] features and labels.")
    return Data(*read_arrays(settings.path, settings.features, settings.labels, section="data"))
