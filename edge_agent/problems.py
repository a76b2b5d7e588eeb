"""The last warnings and errors of an agent, kept beside its state for `hushfleet agent status`."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edge_agent.logs import LOG, Repeats

_FILE = "problems.json"
_MOST = 5


class Problem(msgspec.Struct, frozen=True):
    """One warning or error. `at` is the wall clock's time, ISO 8601; nothing rests on it."""

    at: str
    level: str
    text: str


class Problems(logging.Handler):
    """Keeps the last few. Not fsynced: losing them costs nothing, and an SD card wears out."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.WARNING)
        self._path = folder / _FILE
        self.addFilter(Repeats())

    def read(self) -> tuple[Problem, ...]:
        """The oldest first; none if there is no file or it is damaged."""
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(self._path.read_bytes(), type=tuple[Problem, ...])
        return ()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one more."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds")
        kept = (*self.read(), Problem(at, record.levelname.lower(), " ".join(record.getMessage().split())))[-_MOST:]
        with suppress(OSError):  # a full disk is told of elsewhere
            self._path.write_bytes(msgspec.json.encode(kept))
            self._path.chmod(0o600)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """What is logged meanwhile is kept."""
        LOG.addHandler(self)
        try:
            yield
        finally:
            LOG.removeHandler(self)
