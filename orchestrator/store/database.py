"""The database behind the store: SQLite in the state folder, or whatever a URL names. Everything above is the same for both."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, create_engine, event, inspect, select
from sqlalchemy.pool import ConnectionPoolEntry

from hushfleet.errors import LocalError, Refusal
from hushfleet.typed import typed
from orchestrator.migrations import REVISIONS

FILE = "orchestrator.db"
_alembic_version = Table("alembic_version", MetaData(), Column("version_num", String(32)))
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


DAMAGED_NEXT = f"Check the disk and remove {FILE}. Then have the owner deal the committee's key anew, and join with the new bundle."


def check(engine: Engine) -> None:
    """Raise `LocalError(STORE_DAMAGED)` if a page of the database is garbled."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if verdict != "ok":
            raise LocalError(Refusal.STORE_DAMAGED, f"{engine.url!r}: {verdict}", next_step=DAMAGED_NEXT)


def checkpoint(engine: Engine) -> None:
    """Bring the write-ahead log into the database: a log that is lost must not take rounds with it."""
    if engine.dialect.name == "sqlite":
        with closing(engine.raw_connection()) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()


def default_url(folder: Path) -> str:
    """SQLite in `folder`."""
    return f"sqlite:///{folder.absolute() / FILE}"


def connect(url: str) -> Engine:
    """An engine whose commits survive a power cut."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin)
    return engine


def exists(folder: Path, url: str | None) -> bool:
    """True if a store is there."""
    if url is None and not (folder / FILE).exists():
        return False
    engine = connect(url or default_url(folder))
    try:
        with engine.connect() as connection:
            return _revision(connection) is not None
    finally:
        engine.dispose()


def create(engine: Engine) -> None:
    """Make the tables in an empty database. Raises `LocalError(STORE_UNUSABLE)` if there are any."""
    path = engine.url.database
    if engine.dialect.name == "sqlite" and path:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    with engine.begin() as connection:
        if _revision(connection) is not None:
            raise LocalError(Refusal.STORE_UNUSABLE, f"{engine.url!r} already holds a store", next_step="Give every orchestrator its own.")
        _upgrade(connection)


def bring_up_to_date(engine: Engine) -> None:
    """Run the migrations that are missing, in one transaction. Raises `LocalError(STORE_UNUSABLE)` as `require_current`."""
    with engine.begin() as connection:
        _require_store(engine, connection)
        if _revision(connection) != REVISIONS[-1]:
            _upgrade(connection)


def require_current(engine: Engine) -> None:
    """`LocalError(STORE_UNUSABLE)`: no store is there, or it is of another version than this program."""
    with engine.connect() as connection:
        _require_store(engine, connection)
        if _revision(connection) != REVISIONS[-1]:
            message = f"{engine.url!r} is of an earlier version"
            raise LocalError(
                Refusal.STORE_UNUSABLE, message, next_step=f"To bring it up to date: {typed('orchestrator', 'run', 'job.toml')}"
            )


def _require_store(engine: Engine, connection: Connection) -> None:
    revision = _revision(connection)
    if revision is None:
        raise lost(repr(engine.url))
    if revision not in REVISIONS:
        message = f"{engine.url!r} was written by a newer version of this program"
        raise LocalError(Refusal.STORE_UNUSABLE, message, next_step="Install that version, or a newer one.")


def lost(where: str) -> LocalError:
    """The store is gone though the keys are here: which rounds they signed is no longer known, and none may be signed twice."""
    return LocalError(
        Refusal.STORE_UNUSABLE,
        f"{where} holds no store: which rounds this orchestrator began is not known",
        next_step=f"Have the owner deal the committee's key anew, then: {typed('orchestrator', 'join', 'orchestrator.bundle')}",
    )


def _revision(connection: Connection) -> str | None:
    """The last migration that was run, as Alembic keeps it; None where no store is."""
    if not inspect(connection).has_table(_alembic_version.name):
        return None
    return connection.scalars(select(_alembic_version.c.version_num)).one_or_none()


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 -- large, and needed once a version
    from alembic.config import Config  # noqa: PLC0415 -- with it

    config = Config()
    config.set_main_option("script_location", "orchestrator:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _set_up_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # Python's own handling would begin transactions late and end them before DDL: `_begin` says when.
    connection.isolation_level = None
    try:
        _set_pragmas(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        if error.sqlite_errorcode not in _DAMAGED:
            raise
        # Not a backup: it would not know the rounds that were signed since.
        raise LocalError(Refusal.STORE_DAMAGED, f"the store is damaged: {error}", next_step=DAMAGED_NEXT) from error


def _set_pragmas(connection: sqlite3.Connection) -> None:
    # Readers go on while a round is written; EXTRA as on the agent: no commit may come back undone after a power cut.
    for pragma in ("journal_mode = WAL", "synchronous = EXTRA", "foreign_keys = ON", "busy_timeout = 10000"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
