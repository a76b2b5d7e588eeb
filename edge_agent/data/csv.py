"""A CSV file with a header line: `features` and `labels` name columns; `features = "*"` means all but the labels.

Options: `delimiter` and `decimal`. The reader is `hushfleet.program.csv_table`, the same that reads a holdout.
"""

from collections.abc import Iterator

from edge_agent.config import DataSettings
from edge_agent.data.block import BLOCK_ROWS, Block, require_options
from hushfleet.errors import DataError, Refusal
from hushfleet.program.contract import load_contract
from hushfleet.program.csv_table import CsvColumns, read_table
from hushfleet.training import Data

_OPTIONS = {"delimiter": 'one character, "," if not given', "decimal": 'the decimal point, "." if not given'}


def read(settings: DataSettings) -> Iterator[Block]:
    """The rows in blocks, with their lines. Raises `DataError(DATA_SOURCE)` for an option that is not there, otherwise as `read_table`."""
    require_options(settings, _OPTIONS)
    if settings.path is None:
        raise DataError(Refusal.DATA_SOURCE, "the source csv needs a file", next_step="Set [data] path.")
    given = {name: settings.options[name] for name in _OPTIONS if name in settings.options}
    contract = load_contract(settings.contract) if settings.contract is not None else None
    wanted = CsvColumns(settings.features, settings.labels, contract=contract, own=settings.columns, **given)
    for features, labels, lines in read_table(settings.path, wanted, rows=BLOCK_ROWS):
        yield Block(Data(features, labels), lines)
