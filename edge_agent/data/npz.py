"""Arrays in a file of `numpy.savez`: `features` and `labels` name one array each. Read in blocks. Knows no options."""

from collections.abc import Iterator

from edge_agent.config import DataSettings
from edge_agent.data.block import BLOCK_ROWS, Block, require_options
from hushfleet.errors import DataError, Refusal
from hushfleet.program.npz import read_parts
from hushfleet.training import Data


def read(settings: DataSettings) -> Iterator[Block]:
    """Both arrays in blocks. Raises `DataError`: `DATA_SOURCE` for a file or an array that is not there, otherwise as `Data`."""
    require_options(settings, {})
    if settings.contract is not None:
        message = "a data contract names columns, and the arrays of an npz file have none: their order is on trust"
        raise DataError(Refusal.DATA_SOURCE, message, next_step="Give the data as csv, or train a model without a contract.")
    if settings.path is None:
        raise DataError(Refusal.DATA_SOURCE, "the source npz needs a file", next_step="Set [data] path.")
    if not isinstance(settings.features, str) or not isinstance(settings.labels, str):
        message = "the source npz takes the name of one array, not a list of names"
        raise DataError(Refusal.DATA_SOURCE, message, next_step="Check [data] features and labels.")
    row = 0
    for features, labels in read_parts(settings.path, settings.features, settings.labels, section="data", rows=BLOCK_ROWS):
        try:
            yield Block(Data(features, labels))
        except DataError as error:
            known = None if error.row is None else row + error.row
            raise error.at(row=known, file=str(settings.path)) from None
        row += len(features)
