"""The data room: the one place where training data are read, checked and prepared, always outside rounds (PROTOCOL 5.2).

A round sees prepared rows or a refusal that was ready before, and nothing else. What is prepared changes only between rounds: whoever
runs a round calls `close` first, and the preparing stands still until `open`.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from edge_agent.config import DataSettings
from edge_agent.data import read_blocks
from edge_agent.data.block import Block
from edge_agent.data.findings import Findings, examine
from edge_agent.data.origin import origin_of
from edge_agent.data.prepared import PreparedRows, Writer, forget_prepared, load_prepared
from edge_agent.data.verdict import Verdict, read_verdict, verdict_of, write_verdict
from hushfleet.errors import DataError, Refusal
from hushfleet.training import Data, Trainer, fault_text, is_from_keyboard

Models = Mapping[str, Trainer]
Progress = Callable[[int], None]

_NOT_YET = DataError(Refusal.DATA_EMPTY, "the training data are still being read", next_step="Wait; this goes on by itself.")


class RowSource(Protocol):
    """The rows of a device, as a round sees them."""

    def rows_for(self, trainer: Trainer) -> Data | DataError:
        """Rows for `trainer`, or the reason why there are none; both made beforehand, so that it takes no time that follows the data."""

    def ended(self, zero: str) -> None:
        """Remember how a round ended: `zero` says why its contribution was zero plus noise, empty if it was not."""


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The outcome of one look at the data, exchanged as a whole."""

    origin: str = ""
    models: frozenset[bytes] = frozenset()
    prepared: PreparedRows | None = None
    problem: DataError = _NOT_YET
    misfits: Mapping[bytes, DataError] = field(default_factory=dict)


class DataRoom:
    """The rows of the device whose state folder is `folder`. One thread refreshes; a round asks from another."""

    def __init__(
        self,
        folder: Path,
        settings: DataSettings | None,
        *,
        read: Callable[[DataSettings | None], Iterable[Block]] = read_blocks,
        progress: Progress = lambda _: None,
        tell: Callable[[Verdict], None] = lambda _: None,
    ) -> None:
        """`tell` hears of every new verdict; `progress` of the rows read so far."""
        self._folder, self._settings, self._read, self._progress, self._tell = folder, settings, read, progress, tell
        self._shelf = _Shelf()
        self._verdict = read_verdict(folder)
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()

    @property
    def verdict(self) -> Verdict | None:
        """The verdict in force, or None before the first."""
        return self._verdict

    def close(self) -> None:
        """Let the preparing stand still: a round is at work."""
        self._open.clear()

    def open(self) -> None:
        """Let the preparing go on."""
        self._open.set()

    def rows_for(self, trainer: Trainer) -> Data | DataError:
        """Rows for `trainer`, or the reason why there are none."""
        shelf = self._shelf
        rows = shelf.problem if shelf.prepared is None else shelf.prepared.data
        return shelf.misfits.get(trainer.architecture.digest, rows)

    def ended(self, zero: str) -> None:
        """Count it, for the owner."""
        with self._lock:
            if self._verdict is not None and (zero or self._verdict.last_zero):
                count = self._verdict.zeros + bool(zero)
                self._settle(msgspec.structs.replace(self._verdict, zeros=count, last_zero=zero))

    def refresh(self, models: Models) -> bool:
        """Look at the data again if they, the settings or the models changed since the last time; True if so. May take long.

        Never raises for what is wrong with the data or the disk.
        """
        digests = frozenset(trainer.architecture.digest for trainer in models.values())
        origin = origin_of(self._settings, *_contract(self._settings)) if self._settings is not None else "none"
        if (origin, digests) == (self._shelf.origin, self._shelf.models):
            return False
        self._open.wait()
        found, prepared = self._prepare(origin, models)
        misfits: dict[bytes, DataError] = {models[name].architecture.digest: error for name, error in found.misfits.items()}
        shelf = _Shelf(origin, digests, prepared, found.problem or _NOT_YET, misfits)
        self._open.wait()
        with self._lock:
            self._shelf = shelf
            self._settle(verdict_of(found).since_before(self._verdict), news=True)
        return True

    def _prepare(self, origin: str, models: Models) -> tuple[Findings, PreparedRows | None]:
        known = load_prepared(self._folder, origin)
        if known is not None:
            return examine(known.blocks(), models, progress=self._moved), known
        try:
            return self._prepare_anew(origin, models)
        except OSError as error:
            forget_prepared(self._folder)
            message = f"the prepared rows cannot be written to {self._folder}: {error.strerror}"
            return Findings(DataError(Refusal.DATA_SOURCE, message, next_step="Make room on that disk.")), None

    def _prepare_anew(self, origin: str, models: Models) -> tuple[Findings, PreparedRows | None]:
        forget_prepared(self._folder)
        writer = Writer(self._folder)
        try:
            found = examine(self._read(self._settings), models, keep=writer.add, progress=self._moved)
            return found, writer.finish(origin) if found.problem is None else None
        finally:
            writer.drop()

    def _moved(self, rows: int) -> None:
        self._open.wait()
        self._progress(rows)

    def _settle(self, verdict: Verdict, *, news: bool = False) -> None:
        changed = verdict != self._verdict
        self._verdict = verdict
        if changed:
            write_verdict(self._folder, verdict)
        if news:
            self._tell(verdict)


class KnownRows:
    """Rows that a program holds in memory, for fleets on one machine. `read` is called once, here, whatever it raises."""

    def __init__(self, read: Callable[[], Data]) -> None:
        self.zeros: list[str] = []
        try:
            self._rows: Data | DataError = read()
        except DataError as error:
            self._rows = error
        except BaseException as error:
            if is_from_keyboard(error):
                raise
            self._rows = DataError(Refusal.DATA_SOURCE, f"reading the data failed: {fault_text(error)}")

    def rows_for(self, _: Trainer) -> Data | DataError:
        """The outcome of `read`."""
        return self._rows

    def ended(self, zero: str) -> None:
        """Keep the reason."""
        self.zeros += [zero] if zero else []


def _contract(settings: DataSettings) -> tuple[Path, ...]:
    return () if settings.contract is None else (settings.contract,)
