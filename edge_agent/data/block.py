"""Rows on their way from a source: as many at a time as fit easily into memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_agent.config import DataSettings
from hushfleet.errors import DataError, Refusal
from hushfleet.training import Data

BLOCK_ROWS = 1024
"""Rows that are held at a time while data are read."""

Lines = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Block:
    """Some rows of finite numbers. `lines` (n,): the line of the file that each row came from, None where there are no lines."""

    data: Data
    lines: Lines | None = None

    def __repr__(self) -> str:
        return "Block(private)"


def blocks_of(data: Data) -> Iterator[Block]:
    """Rows that are in memory, or mapped into it, in blocks."""
    for begin in range(0, len(data), BLOCK_ROWS):
        part = slice(begin, begin + BLOCK_ROWS)
        yield Block(Data(data.features[part], data.targets[part]))


def require_options(settings: DataSettings, known: Mapping[str, str]) -> None:
    """`DataError(DATA_SOURCE)` for an option that the source does not know. `known`: from each name to its meaning."""
    strange = sorted(settings.options.keys() - known.keys())
    if strange:
        there = "; ".join(f"{name}: {meaning}" for name, meaning in known.items()) or "none"
        message = f"the source {settings.source} has no option {strange[0]!r}"
        raise DataError(Refusal.DATA_SOURCE, message, next_step=f"Its options under [data.options] are {there}.")
