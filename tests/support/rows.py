"""Rows of a data source, read whole."""

import numpy as np

from edge_agent.config import DataSettings
from edge_agent.data import read_blocks
from hushfleet.errors import DataError, Refusal
from hushfleet.training import Data


def read_whole(settings: DataSettings | None) -> Data:
    """Everything that the source gives. Raises `DataError`, also for no rows."""
    blocks = [block.data for block in read_blocks(settings)]
    if not blocks:
        raise DataError(Refusal.DATA_EMPTY, "no rows")
    return Data(np.concatenate([one.features for one in blocks]), np.concatenate([one.targets for one in blocks]))
