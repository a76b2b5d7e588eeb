"""The memory of an agent: one SQLite database, and one blob file for a large contribution under way.

The bytes of a contribution and the ledger charge are one transaction; of a large one the blob first, fsynced and renamed, then the
transaction with its hash (PROTOCOL 5.2). A member's key share and its decryption log live in the same database (PROTOCOL 2).
"""

import sqlite3
from collections.abc import Iterable
from functools import singledispatchmethod
from pathlib import Path

from edge_agent.schema import bring_up, create_tables, require_current
from hushfleet.codec import decode, encode
from hushfleet.documents import EMPTY_JOURNAL, NO_SHARE, GrantedShare, JournalHead, VerifiedRoster, open_roster
from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import sha256
from hushfleet.privacy import Ledger, revive
from hushfleet.rounds import device, member
from hushfleet.rounds.effects import (
    Change,
    DropContribution,
    DropShare,
    KeepAnswer,
    KeepCharge,
    KeepContribution,
    KeepRoster,
    KeepSeen,
    KeepShare,
    KeepStop,
)
from hushfleet.rounds.journal import JournalEntry, entry_of, opened_entry
from hushfleet.signing import Signed, VerifyKey
from hushfleet.system.durable import write_durably
from hushfleet.system.place import differences, place_of
from hushfleet.system.storage import Reserve, storage_errors
from hushfleet.typed import typed
from hushfleet.wire import status_in
from hushfleet.wire.limits import LIMITS

_DATABASE = "agent.db"
_BLOB = "contribution.blob"
_DAMAGED_NEXT = "Check the disk. Then enrol the device anew, with new keys; that resets its budget, and the owner's tool says so."
_RESERVE_BYTES = 1 << 16
_MOST_IN_ROW = 1 << 16
"""The greatest contribution that is kept in the database; a larger one would be written twice there, and is a file beside it."""
_PROMISED = (KeepContribution, KeepAnswer, KeepStop, KeepCharge)
_RECOVERED = "recovered"
"""The reason under which a stop stays for the member alone: its owner has said that the device goes on."""

# The database itself keeps to one answer a round, whatever a second process on the same folder believes.
_KEEP_ANSWER = """
INSERT INTO answer VALUES (?, ?, ?, ?, ?) ON CONFLICT (key_id) DO UPDATE
SET round = excluded.round, root = excluded.root, header = excluded.header, sealed = excluded.sealed
WHERE excluded.round > answer.round
"""


class Store:
    """The memory of one agent, in a folder of its own."""

    def __init__(self, folder: Path, *, may_change: bool = True) -> None:
        """Open the database that `create` made, and bring an older version of it up to this one.

        `may_change` False is for those who look while an agent works: an older version is refused instead.
        Raises `LocalError`: `STORE_DAMAGED`, `DISK_READ_ONLY`; `STORE_UNUSABLE` for a version that this program does not know;
        `LEDGER_MISSING` if the database is gone while the device's keys are here, `DECRYPTION_LOG_MISSING` if a key share is here
        without its log. Neither of these heals by itself: what was spent or answered is no longer known.
        """
        self._folder, self._reserve = folder, Reserve(folder / "reserve", _RESERVE_BYTES)
        with storage_errors(folder, damaged=_DAMAGED_NEXT):
            self._open(may_change=may_change)

    def _open(self, *, may_change: bool) -> None:
        folder = self._folder
        if not (folder / _DATABASE).exists():
            raise LocalError(
                Refusal.LEDGER_MISSING,
                f"{folder / _DATABASE} is gone: what this device has spent of its budget is not known",
                next_step="Enrol the device anew, with new keys; that resets its budget, and the owner's tool says so.",
            )
        self._connection = _connect(folder / _DATABASE)
        try:
            _set_up(self._connection, may_change=may_change)
            self._check_tables()
            (bring_up if may_change else require_current)(self._connection, folder / _DATABASE)
            self._check_contents()
            if may_change:
                self._empty_log()
        except (LocalError, sqlite3.DatabaseError):
            self._connection.close()
            raise

    def _check_contents(self) -> None:
        """Raise `LocalError(STORE_DAMAGED)` if a page is garbled, an entry of the journal was altered, or a charge is gone."""
        (verdict,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise self._damaged(str(verdict))
        head, contributed = EMPTY_JOURNAL, set()
        for number, entry, kept in self._connection.execute("SELECT number, entry, head FROM journal ORDER BY number"):
            head = head.at(number, entry)
            if head.head != kept:
                raise self._damaged(f"entry {number} of the journal was altered")
            if (found := opened_entry(entry)).what == "contribution":
                contributed.add((found.key_id, found.round))
        charged = {(event.key_id, event.round_number) for event in self.ledger().events}
        if contributed - charged:
            raise self._damaged(f"{len(contributed - charged)} charges are gone from the ledger")

    def _damaged(self, what: str) -> LocalError:
        message = f"{self._folder / _DATABASE}: {what}; what this device has spent of its budget is not known"
        return LocalError(Refusal.STORE_DAMAGED, message, next_step=_DAMAGED_NEXT)

    def _check_tables(self) -> None:
        database = self._folder / _DATABASE
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "ledger" not in tables:
            raise LocalError(Refusal.LEDGER_MISSING, f"{database} holds no ledger", next_step="Enrol the device anew.")
        if "answer" not in tables:
            message = f"{database} holds no decryption log"
            raise LocalError(Refusal.DECRYPTION_LOG_MISSING, message, next_step="Have the committee's key dealt anew.")

    @classmethod
    def create(cls, folder: Path) -> "Store":
        """A fresh store, once, at enrolment. FileExistsError if there is one."""
        (folder / _DATABASE).touch(mode=0o600, exist_ok=False)
        connection = _connect(folder / _DATABASE)
        _set_up(connection, may_change=True)
        create_tables(connection)
        connection.close()
        return cls(folder)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def persist(self, changes: Iterable[Change]) -> None:
        """Make all changes durable in one transaction; on an error, none."""
        changes = tuple(changes)
        with storage_errors(self._folder, damaged=_DAMAGED_NEXT):
            if any(isinstance(change, KeepSeen) for change in changes):
                self._reserve.make()  # for what this plan may lead to: a plan for which there is no room is not taken
            with self._reserve.spent_if_full(allowed=any(isinstance(change, _PROMISED) for change in changes)):
                self._persist(changes)
                return
            self._persist(changes)

    def _persist(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            if isinstance(change, KeepContribution) and len(change.sealed) > _MOST_IN_ROW:
                write_durably(self._folder / _BLOB, change.sealed)
        with self._connection:
            for change in changes:
                self._keep(change)
                if (entry := entry_of(change)) is not None:
                    self._append(self.head().number + 1, entry)
        if any(isinstance(change, DropContribution | DropShare) for change in changes):
            self._empty_log()

    def _empty_log(self) -> None:
        """At a start, and at the end of a round or of a secret: a log that is lost takes no round with it, and keeps no copy of a share."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def head(self) -> JournalHead:
        """The head of the journal: device and member of one agent share it."""
        row = self._connection.execute("SELECT number, head FROM journal ORDER BY number DESC LIMIT 1").fetchone()
        return JournalHead(*row) if row else EMPTY_JOURNAL

    def told_head(self) -> JournalHead:
        """The head to tell others: the journal's, or one that they hold and that this store has forgotten, so that they keep it."""
        rows = self._connection.execute("SELECT evidence FROM stopped WHERE reason = ?", (Refusal.STORE_ROLLED_BACK.value,))
        outside = (told.journal for (evidence,) in rows if (told := status_in(evidence)) is not None)
        return max((self.head(), *outside), key=lambda head: head.number)

    def _append(self, number: int, entry: bytes) -> None:
        head = self.head().at(number, entry)
        self._run("INSERT INTO journal VALUES (?, ?, ?)", head.number, entry, head.head)

    def require_place(self) -> None:
        """Remember where this store lives, at its first start. Raises `LocalError(STORE_MOVED)` if it lives elsewhere by now."""
        here = place_of(self._folder / _DATABASE)
        before = dict(self._connection.execute("SELECT name, value FROM place"))
        if not before:
            self._settle_at(here)
        elif changed := differences(before, here):
            raise LocalError(
                Refusal.STORE_MOVED,
                f"{self._folder} is not where this device's store was: another {', '.join(changed)}",
                next_step="If it was moved, and no copy of it runs elsewhere: " + typed("agent", "recover"),
            )

    def recover(self) -> tuple[bytes, ...]:
        """Accept that the store was moved or put back: it lives here from now on, and the device goes on above what others know.

        The key ids under which the device had stopped. A member stays stopped under them until a new deal.
        """
        stopped = tuple(self._stopped(Refusal.STORE_ROLLED_BACK))
        number = self.told_head().number + 1
        with self._connection:
            self._settle_at(place_of(self._folder / _DATABASE), commit=False)
            if stopped:
                self._append(number, encode(JournalEntry("recovered", stopped[0], 0, b"")))
            self._run("UPDATE OR REPLACE stopped SET reason = ? WHERE reason = ?", _RECOVERED, Refusal.STORE_ROLLED_BACK.value)
        return stopped

    def _settle_at(self, place: dict[str, str], *, commit: bool = True) -> None:
        self._run("DELETE FROM place")
        self._connection.executemany("INSERT INTO place VALUES (?, ?)", place.items())
        if commit:
            self._connection.commit()

    def ledger(self) -> Ledger:
        """The ledger: what this device has spent."""
        rows = self._connection.execute("SELECT kind, key_id, round, rho_nano FROM ledger ORDER BY rowid")
        return Ledger(tuple(revive(*row) for row in rows))

    def roster(self, root: VerifyKey) -> VerifiedRoster | None:
        """The roster in force, verified again."""
        row = self._connection.execute("SELECT signed FROM roster").fetchone()
        return open_roster(decode(Signed, row[0], max_bytes=LIMITS.signed_document), root) if row else None

    def device_state(self, root: VerifyKey, *, read_back: bool = True) -> device.DeviceState:
        """The device machine's state as of the last transaction. `read_back` False: others have still to be asked what they hold of it."""
        stopped = self._stopped(Refusal.EQUIVOCATION, Refusal.ROSTER_CONFLICT)
        rolled_back, roster = self._stopped(Refusal.STORE_ROLLED_BACK), self.roster(root)
        memory = device.DeviceMemory(self.ledger(), self.seen(), stopped, self._sent(), rolled_back, read_back, self._done())
        return device.Idle(memory, roster) if roster else device.Unenrolled(memory)

    def member_state(self, root: VerifyKey, *, read_back: bool = True) -> member.MemberState:
        """The member machine's state as of the last transaction; `read_back` as in `device_state`."""
        answered = {
            key_id: member.Answered(number, root_, decode(Signed, header, max_bytes=LIMITS.signed_document), sealed)
            for key_id, number, root_, header, sealed in self._connection.execute("SELECT key_id, round, root, header, sealed FROM answer")
        }
        rolled_back, roster = self._stopped(Refusal.STORE_ROLLED_BACK, _RECOVERED), self.roster(root)
        memory = member.MemberMemory(answered, self._stopped(Refusal.ROSTER_CONFLICT), rolled_back, read_back)
        return member.Ready(memory, roster, self._share(roster.key_id)) if roster else member.Unenrolled(memory)

    def seen(self) -> dict[bytes, int]:
        """The last round seen, per key id."""
        return dict(self._connection.execute("SELECT key_id, round FROM seen"))

    def holds_share(self, key_id: bytes) -> bool:
        """True if this member has imported its share of that key."""
        return self._connection.execute("SELECT 1 FROM share WHERE key_id = ?", (key_id,)).fetchone() is not None

    def stops(self, key_id: bytes) -> tuple[str, ...]:
        """The reasons that keep this device from taking part, or answering, under that key."""
        return tuple(reason for (reason,) in self._connection.execute("SELECT reason FROM stopped WHERE key_id = ?", (key_id,)))

    def waits_for_receipt(self) -> bool:
        """True while a contribution has no final receipt."""
        return self._connection.execute("SELECT 1 FROM contribution").fetchone() is not None

    def _stopped(self, *reasons: str) -> frozenset[bytes]:
        rows = self._connection.execute("SELECT key_id, reason FROM stopped")
        return frozenset(key_id for key_id, reason in rows if reason in reasons)

    def _done(self) -> bytes:
        row = self._connection.execute("SELECT plan_hash FROM done").fetchone()
        return row[0] if row else b""

    def _sent(self) -> device.Sent | None:
        row = self._connection.execute("SELECT key_id, round, hash FROM contribution").fetchone()
        if row is None:
            return None
        kept, blob = self._connection.execute("SELECT sealed FROM sealed").fetchone(), self._folder / _BLOB
        sealed = kept[0] if kept else blob.read_bytes() if blob.exists() else b""
        return device.Sent(row[0], row[1], sealed) if sha256(sealed) == row[2] else None

    def _share(self, key_id: bytes) -> GrantedShare:
        row = self._connection.execute("SELECT share FROM share WHERE key_id = ?", (key_id,)).fetchone()
        return GrantedShare(row[0]) if row else NO_SHARE

    def _run(self, sql: str, *values: object) -> None:
        self._connection.execute(sql, values)

    @singledispatchmethod
    def _keep(self, change: object) -> None:
        raise TypeError(f"an agent does not store {type(change).__name__}")

    @_keep.register
    def _(self, change: KeepRoster) -> None:
        self._run("INSERT OR REPLACE INTO roster VALUES (1, ?)", encode(change.signed))

    @_keep.register
    def _(self, change: KeepSeen) -> None:
        self._run("INSERT OR REPLACE INTO seen VALUES (?, ?)", change.key_id, change.round)

    @_keep.register
    def _(self, change: KeepContribution) -> None:
        entry = change.entry
        self._run("INSERT INTO ledger VALUES (?, ?, ?, ?)", entry.key_id, entry.round_number, entry.kind.value, entry.rho_nano)
        values = (entry.key_id, entry.round_number, sha256(change.sealed))
        self._run("INSERT OR REPLACE INTO contribution VALUES (1, ?, ?, ?)", *values)
        self._run("INSERT OR REPLACE INTO done VALUES (1, ?)", change.plan_hash)
        self._run("DELETE FROM sealed")
        if len(change.sealed) <= _MOST_IN_ROW:
            self._run("INSERT INTO sealed VALUES (1, ?)", change.sealed)

    @_keep.register
    def _(self, change: KeepCharge) -> None:
        entry = change.entry
        self._run("INSERT INTO ledger VALUES (?, ?, ?, ?)", entry.key_id, entry.round_number, entry.kind.value, entry.rho_nano)

    @_keep.register
    def _(self, change: DropContribution) -> None:
        if self._connection.execute("DELETE FROM contribution WHERE key_id = ? AND round = ?", (change.key_id, change.round)).rowcount:
            self._run("DELETE FROM sealed")

    @_keep.register
    def _(self, change: KeepStop) -> None:
        self._run("INSERT OR IGNORE INTO stopped VALUES (?, ?, ?)", change.key_id, change.reason.value, change.evidence)

    @_keep.register
    def _(self, change: KeepShare) -> None:
        self._run("INSERT INTO share VALUES (?, ?)", change.key_id, change.share)

    @_keep.register
    def _(self, change: DropShare) -> None:
        self._run("DELETE FROM share WHERE key_id = ?", change.key_id)

    @_keep.register
    def _(self, change: KeepAnswer) -> None:
        values = (change.key_id, change.round, change.root, encode(change.header), change.sealed)
        if self._connection.execute(_KEEP_ANSWER, values).rowcount != 1:
            raise LocalError(
                Refusal.REQUEST_ROUND_LOWER,
                f"{self._folder / _DATABASE} already holds an answer for round {change.round} or a later one",
                next_step="Is another agent running on this folder? Only one may.",
            )


def _connect(path: Path) -> sqlite3.Connection:
    # Threads take turns: the runner that owns a store holds a lock around every step.
    return sqlite3.connect(path, check_same_thread=False)


def _set_up(connection: sqlite3.Connection, *, may_change: bool) -> None:
    # Small pages: a round changes few bytes on each of them, and a card wears out by pages.
    connection.execute("PRAGMA page_size = 1024")
    if may_change:
        connection.execute("PRAGMA journal_mode = WAL")
    # FULL: no commit may come back undone after a power cut, the charge of a contribution that has left or the record of an answer.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
