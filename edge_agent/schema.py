"""The tables of an agent's database, and the steps that lead from each version of them to the next.

The version is the pragma user_version of SQLite. Databases of before there was a version carry 0 and are of version 1. A step is an ordered
list of SQL statements; the steps that a database lacks run in one transaction when an agent opens it.
"""

import sqlite3
from pathlib import Path

from hushfleet.errors import LocalError, Refusal

Step = tuple[str, ...]

STEPS: tuple[Step, ...] = (
    (
        "CREATE TABLE roster (only INTEGER PRIMARY KEY CHECK (only = 1), signed BLOB NOT NULL)",
        "CREATE TABLE seen (key_id BLOB PRIMARY KEY, round INTEGER NOT NULL)",
        "CREATE TABLE ledger (key_id BLOB, round INTEGER, kind TEXT NOT NULL, rho_nano INTEGER NOT NULL, PRIMARY KEY (key_id, round))",
        "CREATE TABLE contribution (only INTEGER PRIMARY KEY CHECK (only = 1), key_id BLOB, round INTEGER, hash BLOB NOT NULL)",
        "CREATE TABLE stopped (key_id BLOB, reason TEXT, evidence BLOB NOT NULL, PRIMARY KEY (key_id, reason))",
        "CREATE TABLE share (key_id BLOB PRIMARY KEY, share BLOB NOT NULL)",
        """CREATE TABLE answer (
            key_id BLOB PRIMARY KEY, round INTEGER NOT NULL, root BLOB NOT NULL, header BLOB NOT NULL, sealed BLOB NOT NULL
        )""",
    ),
    (
        "CREATE TABLE IF NOT EXISTS journal (number INTEGER PRIMARY KEY, entry BLOB NOT NULL, head BLOB NOT NULL)",
        "CREATE TABLE IF NOT EXISTS place (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
    ("CREATE TABLE IF NOT EXISTS sealed (only INTEGER PRIMARY KEY CHECK (only = 1), sealed BLOB NOT NULL)",),
    ("CREATE TABLE IF NOT EXISTS done (only INTEGER PRIMARY KEY CHECK (only = 1), plan_hash BLOB NOT NULL)",),
)
"""Step n (from 1) leads from version n - 1 to version n. A step that was released never changes: the next one follows it."""


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of the newest version in an empty database, in one transaction."""
    _run_steps(connection, done=0)


def bring_up(connection: sqlite3.Connection, database: Path) -> None:
    """Run the steps that `database` lacks, in one transaction: on an error it stays as it was.

    Raises `LocalError(STORE_UNUSABLE)` for a version that this program does not know.
    """
    version = _known_version(connection, database)
    if version < len(STEPS) or _stored_version(connection) == 0:
        _run_steps(connection, done=version)


def require_current(connection: sqlite3.Connection, database: Path) -> None:
    """Change nothing. Raises `LocalError(STORE_UNUSABLE)` unless `database` is of the newest version."""
    if _known_version(connection, database) < len(STEPS):
        message = f"{database} is of an earlier version than this program, and another process works with it"
        raise LocalError(Refusal.STORE_UNUSABLE, message, next_step="Restart the agent: it brings its database up to date.")


def _stored_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _known_version(connection: sqlite3.Connection, database: Path) -> int:
    version = _stored_version(connection) or 1
    if not 1 <= version <= len(STEPS):
        message = f"{database} is of version {version}; this program knows versions up to {len(STEPS)}"
        next_step = "Install the version of Hushfleet that wrote it, or a newer one. The ledger in it is whole: do not enrol anew."
        raise LocalError(Refusal.STORE_UNUSABLE, message, next_step=next_step)
    return version


def _run_steps(connection: sqlite3.Connection, *, done: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        for step in STEPS[done:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
