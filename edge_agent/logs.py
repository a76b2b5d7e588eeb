"""The local log: one line a happening on standard error, with its priority for journald, repeats counted instead of written.

No files: standard error goes to the journal, which looks after size and age. Nothing secret is ever given to it.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import msgspec

from hushfleet.errors import LocalError
from hushfleet.system.durable import write_quickly
from hushfleet.system.formats import UnreadableError, from_json
from hushfleet.system.plain_text import plain
from hushfleet.system.repeats import Repeats

LOG = logging.getLogger("hushfleet.agent")

_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7))


class RepeatFilter(logging.Filter):
    """The filter that lets a line through as often as `Repeats` allows."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._repeats = Repeats(now_s)

    def filter(self, record: logging.LogRecord) -> bool:
        """True if the line is to be written; the number of those that were not is added to it."""
        text = record.getMessage()
        hidden = self._repeats.held_back((record.levelno, text))
        if hidden:
            record.msg, record.args = f"{text} ({hidden} more like this since)", ()
        return hidden is not None


class Lines(logging.Formatter):
    """`<N>message` for journald, which has its own clock; `time level message` elsewhere. A line break becomes a space."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """One line; a defect's traceback follows it, each of its lines with the same priority."""
        text = " ".join(record.getMessage().split())
        trace = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        head = _priority(record.levelno) if self._journal else f"{self.formatTime(record, '%Y-%m-%d %H:%M:%S')} {record.levelname.lower()} "
        return "\n".join(head + plain(line) for line in (text, *trace))


def start_logging(level: str, stream: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> None:
    """Send `LOG` to `stream` (standard error) from `level` on, in place of where it went before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines(journal="JOURNAL_STREAM" in environment))
    handler.addFilter(RepeatFilter())
    LOG.handlers[:] = [handler]
    LOG.setLevel(level.upper())
    LOG.propagate = False


def _priority(level: int) -> str:
    return next((f"<{number}>" for least, number in _PRIORITIES if level >= least), "<7>")


_FILE = "problems.json"
_MOST = 5


class Problem(msgspec.Struct, frozen=True):
    """One warning or error. `at` is the wall clock's time, ISO 8601; nothing rests on it."""

    at: str
    level: str
    text: str


class RecentProblems(logging.Handler):
    """The last few warnings and errors, in a file. Not fsynced: losing them costs nothing, and an SD card wears out."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.WARNING)
        self._path = folder / _FILE
        self.addFilter(RepeatFilter())

    def read(self) -> tuple[Problem, ...]:
        """The oldest first; none if there is no file or it is damaged."""
        with suppress(OSError, UnreadableError):
            return from_json(self._path.read_bytes(), tuple[Problem, ...])
        return ()

    def emit(self, record: logging.LogRecord) -> None:
        """Add one warning or error to the file."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds")
        kept = (*self.read(), Problem(at, record.levelname.lower(), " ".join(record.getMessage().split())))[-_MOST:]
        with suppress(OSError, LocalError):  # a full disk is told of elsewhere
            write_quickly(self._path, msgspec.json.encode(kept))

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Keep the warnings and errors that are logged inside the block."""
        LOG.addHandler(self)
        try:
            yield
        finally:
            LOG.removeHandler(self)
