"""The verdict on a device's training data, as its owner sees it, and the file that keeps it. It never leaves the machine."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hushfleet.system.durable import write_durably
from hushfleet.system.formats import UnreadableError, from_json

if TYPE_CHECKING:
    from edge_agent.data.findings import Findings

VERDICT_FILE = "data.json"


class Why(msgspec.Struct, frozen=True):
    """One thing that is wrong: where, what was expected there, and which model it is about. Holds no value of the data."""

    text: str
    reason: str
    next: str = ""
    file: str = ""
    line: int | None = None
    column: str = ""
    expected: str = ""
    model: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """True or false since `since` (the wall clock's time, ISO 8601), with everything that is wrong.

    `zeros` counts the contributions since then that were zero plus noise, and `last_zero` says why the last one was; both are empty
    while the last contribution was made of the data. A box that only decrypts has none to use: `needed` is false.
    """

    usable: bool
    since: str
    rows: int = 0
    why: tuple[Why, ...] = ()
    models: tuple[str, ...] = ()
    zeros: int = 0
    last_zero: str = ""
    needed: bool = True

    @property
    def healthy(self) -> bool:
        """True if nobody needs to act."""
        return not self.needed or (self.usable and not self.last_zero)

    @property
    def text(self) -> str:
        """One line for a person."""
        if not self.needed:
            return "not needed: this device does not train ([training] enabled = false)"
        spent = f"; {self.zeros} contributions of zero since, their budget spent" if self.zeros else ""
        if not self.usable:
            first = self.why[0] if self.why else Why("not known", "")
            about = f"{first.model}: " if first.model else ""
            return f"NOT USABLE since {self.since}: {about}{first.text}. {first.next}".rstrip() + spent
        misfits = "".join(f"; does not fit {one.model}: {one.text}" for one in self.why)
        failed = f"; the last contribution was zero: {self.last_zero}" if self.last_zero else ""
        return f"usable since {self.since}, {self.rows} rows{misfits}{failed}{spent}"

    def since_before(self, before: "Verdict | None") -> "Verdict":
        """The same verdict with the time from which it has held, and the zeros counted since, if `before` says the same."""
        if before is None or (before.usable, before.needed) != (self.usable, self.needed):
            return self
        return msgspec.structs.replace(self, since=before.since, zeros=before.zeros, last_zero=before.last_zero)


def now_text() -> str:
    """The wall clock's time, for people."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_verdict(folder: Path) -> Verdict | None:
    """The verdict that the agent of this folder wrote last, or None."""
    with suppress(OSError, UnreadableError):
        return from_json((folder / VERDICT_FILE).read_bytes(), Verdict)
    return None


def write_verdict(folder: Path, verdict: Verdict) -> None:
    """Keep it for `hushfleet agent status`. A full disk is told of elsewhere."""
    with suppress(OSError):
        write_durably(folder / VERDICT_FILE, msgspec.json.encode(verdict))


def none_needed() -> Verdict:
    """The verdict on a device that does not train."""
    return Verdict(usable=False, since=now_text(), needed=False)


def verdict_of(found: "Findings") -> Verdict:
    """The verdict that findings come to, as of now."""
    return Verdict(found.usable, now_text(), found.rows, why_of(found), found.models)


def why_of(found: "Findings") -> tuple[Why, ...]:
    """Everything that is wrong, for a person and for `--json`."""
    return tuple(
        Why(error.message, error.reason.value, error.next_step, error.file, error.line, error.column, error.expected, model)
        for model, error in found.why
    )
