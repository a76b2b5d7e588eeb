import sqlite3
from contextlib import closing

import pytest

from edge_agent import schema
from edge_agent.store import Store
from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy import Ledger, Participation
from hushfleet.rounds.effects import KeepContribution
from tests.support.refusals import refused

EVENT = Participation(bytes(32), 3, 17)
COLUMN = ("ALTER TABLE ledger ADD COLUMN task TEXT NOT NULL DEFAULT 'train'", "CREATE TABLE later (x)")
FAILING = ("ALTER TABLE ledger ADD COLUMN group_name TEXT", "DELETE FROM ledger", "INSERT INTO no_such_table VALUES (1)")


def sql(folder, *statements: str):
    with closing(sqlite3.connect(folder / "agent.db")) as connection, connection:
        return [connection.execute(statement).fetchall() for statement in statements][-1]


def version(folder):
    return sql(folder, "PRAGMA user_version")[0][0]


@pytest.fixture
def folder(tmp_path):
    with closing(Store.create(tmp_path)) as store:
        store.persist((KeepContribution(EVENT, b"sealed"),))
    return tmp_path


@pytest.fixture
def next_version(monkeypatch):
    def add(*steps: schema.Step) -> None:
        monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, *steps))

    return add


def ledger(folder, **options: bool):
    with closing(Store(folder, **options)) as store:
        return store.ledger()


def test_a_fresh_store_is_of_the_newest_version(folder, next_version):
    assert version(folder) == len(schema.STEPS)

    next_version(COLUMN)
    other = folder / "other"
    other.mkdir()
    Store.create(other).close()
    assert version(other) == len(schema.STEPS)
    assert sql(other, "SELECT task FROM ledger") == []


def test_an_old_store_is_brought_up_and_keeps_its_ledger(folder, next_version):
    next_version(COLUMN, ("DROP TABLE later", "CREATE TABLE later_still (x)"))

    assert ledger(folder) == Ledger((EVENT,))
    assert version(folder) == len(schema.STEPS)
    assert sql(folder, "SELECT task FROM ledger") == [("train",)]
    assert sql(folder, "SELECT * FROM later_still") == []
    assert ledger(folder) == Ledger((EVENT,))


def test_a_store_without_a_version_is_of_version_1(folder, next_version):
    sql(folder, "PRAGMA user_version = 0")
    assert ledger(folder) == Ledger((EVENT,))
    assert version(folder) == len(schema.STEPS)

    sql(folder, "PRAGMA user_version = 0")
    next_version(COLUMN)
    assert ledger(folder) == Ledger((EVENT,))
    assert (version(folder), sql(folder, "SELECT task FROM ledger")) == (len(schema.STEPS), [("train",)])


def test_a_step_that_fails_leaves_the_old_store_whole(folder, next_version, monkeypatch):
    before = sql(folder, "SELECT sql FROM sqlite_master"), sql(folder, "SELECT * FROM ledger"), version(folder)
    next_version(COLUMN, FAILING)

    with pytest.raises(sqlite3.OperationalError, match="no_such_table"):
        Store(folder)

    assert (sql(folder, "SELECT sql FROM sqlite_master"), sql(folder, "SELECT * FROM ledger"), version(folder)) == before
    monkeypatch.undo()
    assert ledger(folder) == Ledger((EVENT,))


@pytest.mark.parametrize("found", [len(schema.STEPS) + 1, -1])
@pytest.mark.parametrize("may_change", [True, False])
def test_a_version_that_is_not_known_is_refused_with_what_to_do(folder, found, may_change):
    sql(folder, f"PRAGMA user_version = {found}")

    with pytest.raises(LocalError) as caught:
        ledger(folder, may_change=may_change)

    assert caught.value.reason is Refusal.STORE_UNUSABLE
    assert f"version {found}" in caught.value.message
    assert caught.value.next_step.startswith("Install")
    assert version(folder) == found


def test_who_only_looks_changes_no_version(folder, next_version):
    next_version(COLUMN)

    with refused(Refusal.STORE_UNUSABLE, LocalError):
        ledger(folder, may_change=False)

    assert version(folder) == len(schema.STEPS) - 1
