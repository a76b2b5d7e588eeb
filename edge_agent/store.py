"""The memory of an agent: one SQLite database, and one blob file for a contribution under way.

The blob first, fsynced and renamed; then one transaction with its hash and the ledger charge (PROTOCOL 5.2). A member's key
share and its decryption log live in the same database (PROTOCOL 2).
"""

import sqlite3
from collections.abc import Iterable
from functools import singledispatchmethod
from pathlib import Path

from edge_agent.schema import bring_up, create_tables, require_current
from hushfleet.codec import decode, encode
from hushfleet.documents import NO_SHARE, GrantedShare, VerifiedRoster, open_roster
from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import sha256
from hushfleet.privacy import Ledger, revive
from hushfleet.rounds import device, member
from hushfleet.rounds.effects import (
    Change,
    DropContribution,
    DropShare,
    KeepAnswer,
    KeepContribution,
    KeepRoster,
    KeepSeen,
    KeepShare,
    KeepStop,
)
from hushfleet.signing import Signed, VerifyKey
from hushfleet.system.durable import write_durably
from hushfleet.wire.limits import LIMITS

_DATABASE = "agent.db"
_BLOB = "contribution.blob"
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)

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
        Raises `LocalError`: `STORE_UNUSABLE` for a version that this program does not know; `LEDGER_MISSING` if the database is
        gone while the device's keys are here, `DECRYPTION_LOG_MISSING` if a key share is here without its log. Neither of these
        two heals by itself: what was spent or answered is no longer known.
        """
        self._folder = folder
        if not (folder / _DATABASE).exists():
            raise LocalError(
                Refusal.LEDGER_MISSING,
                f"{folder / _DATABASE} is gone: what this device has spent of its budget is not known",
                next_step="Enrol the device anew, with new keys; that resets its budget, and the owner's tool says so.",
            )
        self._connection = _connect(folder / _DATABASE)
        try:
            _set_up(self._connection)
            self._check_tables()
            (bring_up if may_change else require_current)(self._connection, folder / _DATABASE)
        except LocalError:
            self._connection.close()
            raise
        except sqlite3.DatabaseError as error:
            self._connection.close()
            if error.sqlite_errorcode not in _DAMAGED:
                raise
            message = f"{folder / _DATABASE} is damaged ({error}): what this device has spent of its budget is not known"
            raise LocalError(Refusal.LEDGER_MISSING, message, next_step="Check the disk. Then enrol the device anew.") from error

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
        _set_up(connection)
        create_tables(connection)
        connection.close()
        return cls(folder)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def persist(self, changes: Iterable[Change]) -> None:
        """Make all changes durable in one transaction; on an error, none."""
        changes = tuple(changes)
        for change in changes:
            if isinstance(change, KeepContribution):
                write_durably(self._folder / _BLOB, change.sealed)
        with self._connection:
            for change in changes:
                self._keep(change)

    def ledger(self) -> Ledger:
        """The ledger: what this device has spent."""
        rows = self._connection.execute("SELECT kind, key_id, round, rho_nano FROM ledger ORDER BY rowid")
        return Ledger(tuple(revive(*row) for row in rows))

    def roster(self, root: VerifyKey) -> VerifiedRoster | None:
        """The roster in force, verified again."""
        row = self._connection.execute("SELECT signed FROM roster").fetchone()
        return open_roster(decode(Signed, row[0], max_bytes=LIMITS.signed_document), root) if row else None

    def device_state(self, root: VerifyKey) -> device.DeviceState:
        """The device machine's state as of the last transaction."""
        stopped = self._stopped(Refusal.EQUIVOCATION, Refusal.ROSTER_CONFLICT)
        memory, roster = device.DeviceMemory(self.ledger(), self.seen(), stopped, self._sent()), self.roster(root)
        return device.Idle(memory, roster) if roster else device.Unenrolled(memory)

    def member_state(self, root: VerifyKey) -> member.MemberState:
        """The member machine's state as of the last transaction."""
        answered = {
            key_id: member.Answered(number, root_, decode(Signed, header, max_bytes=LIMITS.signed_document), sealed)
            for key_id, number, root_, header, sealed in self._connection.execute("SELECT key_id, round, root, header, sealed FROM answer")
        }
        memory, roster = member.MemberMemory(answered, self._stopped(Refusal.ROSTER_CONFLICT)), self.roster(root)
        return member.Ready(memory, roster, self._share(roster.key_id)) if roster else member.Unenrolled(memory)

    def seen(self) -> dict[bytes, int]:
        """The last round seen, per key id."""
        return dict(self._connection.execute("SELECT key_id, round FROM seen"))

    def holds_share(self, key_id: bytes) -> bool:
        """True if this member has imported its share of that key."""
        return self._connection.execute("SELECT 1 FROM share WHERE key_id = ?", (key_id,)).fetchone() is not None

    def is_stopped(self, key_id: bytes) -> bool:
        """True if evidence keeps this device from taking part under that key."""
        return self._connection.execute("SELECT 1 FROM stopped WHERE key_id = ?", (key_id,)).fetchone() is not None

    def waits_for_receipt(self) -> bool:
        """True while a contribution has no final receipt."""
        return self._connection.execute("SELECT 1 FROM contribution").fetchone() is not None

    def _stopped(self, *reasons: Refusal) -> frozenset[bytes]:
        rows = self._connection.execute("SELECT key_id, reason FROM stopped")
        return frozenset(key_id for key_id, reason in rows if reason in reasons)

    def _sent(self) -> device.Sent | None:
        row = self._connection.execute("SELECT key_id, round, hash FROM contribution").fetchone()
        if row is None:
            return None
        blob = self._folder / _BLOB
        sealed = blob.read_bytes() if blob.exists() else b""
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

    @_keep.register
    def _(self, change: DropContribution) -> None:
        self._run("DELETE FROM contribution WHERE key_id = ? AND round = ?", change.key_id, change.round)

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


def _set_up(connection: sqlite3.Connection) -> None:
    # FULL does not fsync the folder after it unlinks the journal: a power cut could bring the journal back and undo the last
    # transaction, the charge of a contribution that has left or the record of an answer that was given.
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA secure_delete = ON")
