"""Data sources: one file each, with a function `read(settings)` that gives blocks of rows.

A source of another package registers its `read` as an entry point of the group `hushfleet.data`, and may return one `Data` or an
iterator of several; the names of the files in `SOURCES` cannot be taken. Sources are read outside rounds (`edge_agent.data.room`).
Whatever a source raises, the device contributes zero plus noise, and only this machine hears why: by type and place, for the message
of foreign code may hold a value of the data.
"""

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from edge_agent.config import DataSettings
from edge_agent.data.block import Block, blocks_of
from hushfleet.errors import DataError, HushfleetError, Refusal
from hushfleet.training import Data, fault_text, is_from_keyboard

__all__ = ["ENTRY_POINT_GROUP", "SOURCES", "Block", "Source", "read_blocks", "require_source", "source", "sources"]

ENTRY_POINT_GROUP = "hushfleet.data"
SOURCES = ("csv", "npz")

Source = Callable[[DataSettings], Data | Iterable[Data | Block]]


def sources() -> tuple[str, ...]:
    """The names that `[data] source` may have here."""
    return tuple(sorted({*SOURCES, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))}))


def require_source(name: str) -> None:
    """`DataError(DATA_SOURCE)` if nobody brings a source of that name. Loads no foreign code."""
    if name not in sources():
        next_step = f"Set [data] source to one of {', '.join(sources())}, or install the package that brings it."
        raise DataError(Refusal.DATA_SOURCE, f"there is no data source {name!r}", next_step=next_step)


def source(name: str) -> Source:
    """The source of that name. Raises `DataError(DATA_SOURCE)` if nobody brings it, or whatever its import raises."""
    require_source(name)
    if name in SOURCES:
        return cast("Source", import_module(f"{__name__}.{name}").read)
    (point, *_) = entry_points(group=ENTRY_POINT_GROUP, name=name)
    return cast("Source", point.load())


def read_blocks(settings: DataSettings | None) -> Iterator[Block]:
    """All rows, in blocks. Raises `DataError` and nothing else, but for Ctrl-C in the main thread."""
    if settings is None:
        raise DataError(Refusal.DATA_SOURCE, "no [data] is configured", next_step="Set [data] source and path.")
    if settings.source in SOURCES:
        yield from cast("Iterator[Block]", source(settings.source)(settings))
        return
    require_source(settings.source)
    parts = _Foreign(settings)
    while (part := parts.next()) is not None:
        yield from (part,) if isinstance(part, Block) else blocks_of(part)


class _Foreign:
    """The rows of a plug-in, part by part. Whatever its code raises is told by type and place."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings
        self._parts: Iterator[object] | None = None

    def next(self) -> Data | Block | None:
        """The next part, or None. Raises `DataError`."""
        try:
            part = self._read()
        except BaseException as error:
            if is_from_keyboard(error):
                raise
            raise self._refusal(error) from error
        if part is None or isinstance(part, Data | Block):
            return part
        raise DataError(Refusal.DATA_SOURCE, f"the data source {self._settings.source!r} returned {type(part).__name__}, not Data")

    def _read(self) -> object:
        if self._parts is None:
            found = source(self._settings.source)(self._settings)
            self._parts = iter(found) if isinstance(found, Iterable) and not hasattr(found, "__array__") else iter((found,))
        return next(self._parts, None)

    def _refusal(self, error: BaseException) -> DataError:
        what = f"{error.reason.value}, {fault_text(error)}" if isinstance(error, HushfleetError) else fault_text(error)
        reason = error.reason if isinstance(error, DataError) else Refusal.DATA_SOURCE
        next_step = "Only this plug-in's own tests can tell more: no value of the data is written anywhere."
        return DataError(reason, f"the data source {self._settings.source!r} failed: {what}", next_step=next_step)
