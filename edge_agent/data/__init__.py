"""Data sources: one file each, with a function `read(settings) -> Data`. May import the configuration and `hushfleet.training`.

A source of another package registers its `read` as an entry point of the group `hushfleet.data`; the names of the files here
cannot be taken. Whatever a source raises, the device contributes zero plus noise, and only the local log says why.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import cast

from edge_agent.config import DataSettings
from hushfleet.errors import DataError, Refusal
from hushfleet.training import Data

__all__ = ["ENTRY_POINT_GROUP", "Source", "read_data", "source", "sources"]

ENTRY_POINT_GROUP = "hushfleet.data"

Source = Callable[[DataSettings], Data]


def sources() -> tuple[str, ...]:
    """The names that `[data] source` may have here."""
    return tuple(sorted({*_own(), *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))}))


def source(name: str) -> Source:
    """The source of that name. Raises `DataError(DATA_SOURCE)` if nobody brings it, or whatever its import raises."""
    if name in _own():
        return cast("Source", import_module(f"{__name__}.{name}").read)
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return cast("Source", point.load())
    raise DataError(
        Refusal.DATA_SOURCE,
        f"there is no data source {name!r}",
        next_step=f"Set [data] source to one of {', '.join(sources())}, or install the package that brings it.",
    )


def read_data(settings: DataSettings | None) -> Data:
    """Everything there is to train on. Raises `DataError`, or what a plug-in raises."""
    if settings is None:
        raise DataError(Refusal.DATA_SOURCE, "no [data] is configured", next_step="Set [data] source and path.")
    data = source(settings.source)(settings)
    if not isinstance(data, Data):
        raise DataError(Refusal.DATA_SOURCE, f"the data source {settings.source!r} returned {type(data).__name__}, not Data")
    return data


def _own() -> tuple[str, ...]:
    return tuple(module.name for module in iter_modules(__path__))
