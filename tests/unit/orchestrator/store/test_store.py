"""The store beside the kill tests of `tests/properties/test_orchestrator_restarts.py`: jobs, damage, versions, which models are kept."""

import os
import sqlite3
import stat
from dataclasses import dataclass, replace

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import IntegrityError

from hushfleet.codec import encode
from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import sha256
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.cohort import open_body
from hushfleet.rounds.effects import AcceptedContribution, KeepAccepted, KeepRequest, KeepRoster, KeepRound, KeepSeen
from hushfleet.rounds.events import ContributionsArrived, RoundWanted
from hushfleet.rounds.machine import Running
from hushfleet.rounds.tasks.train import own
from hushfleet.training import GlobalModel
from orchestrator.migrations import REVISIONS
from orchestrator.store.restore import coordinator_state
from orchestrator.store.schema import accepted, jobs, metadata, presence, rosters, rounds
from orchestrator.store.store import Store, database
from tests.support.fleet import make_fleet
from tests.support.fleet.stores import StoredOrchestrator, new_store
from tests.support.refusals import refused

FLEET = make_fleet()
ROOT = FLEET.parties.owner.root.verify_key
PLAN = FLEET.plan()
ACCEPTED = AcceptedContribution(open_body(FLEET.terms(PLAN), FLEET.body(PLAN, "device-01")), bytes(32), 10)
SEALED = {name: FLEET.sealed(PLAN, name, FLEET.body(PLAN, name)) for name in FLEET.names[:4]}


@pytest.fixture(autouse=True)
def _without_syncing(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def store(tmp_path):
    store = Store.create(tmp_path, FLEET.roster)
    yield store
    store.close()


@pytest.fixture
def begun(store):
    store.begin_job("tiny", b"tiny", "text", FLEET.progress)
    return store


def column(store, which):
    with store.engine.connect() as connection:
        return list(connection.scalars(sa.select(which)))


class TestOpening:
    @pytest.mark.usefixtures("store")
    def test_the_database_is_this_users_alone(self, tmp_path):
        assert stat.S_IMODE((tmp_path / "orchestrator.db").stat().st_mode) == 0o600

    def test_a_commit_survives_a_power_cut(self, store):
        with store.engine.connect() as connection:
            modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "foreign_keys")]
        assert modes == [3, 1]

    def test_a_store_is_made_once(self, store, tmp_path):
        with refused(Refusal.STORE_UNUSABLE, LocalError):
            Store.create(tmp_path, FLEET.roster)
        assert store.roster() == FLEET.roster

    def test_a_making_that_was_interrupted_is_repeated(self, tmp_path):
        (tmp_path / database.FILE).touch()
        assert not database.exists(tmp_path, None)

        Store.create(tmp_path, FLEET.roster).close()

        assert database.exists(tmp_path, None)

    def test_a_damaged_store_is_refused(self, tmp_path):
        new_store(FLEET, tmp_path)
        for path in tmp_path.glob(f"{database.FILE}*"):
            path.write_bytes(b"no database " * 400)

        with refused(Refusal.STORE_DAMAGED, LocalError):
            Store(tmp_path, ROOT)

    def test_a_refused_connection_is_closed(self, tmp_path):
        (tmp_path / database.FILE).write_bytes(b"no database " * 400)
        connection = sqlite3.connect(tmp_path / database.FILE)

        with refused(Refusal.STORE_DAMAGED, LocalError):
            database._set_up_sqlite(connection, None)
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")

    def test_a_store_that_is_gone_is_refused(self, tmp_path):
        with refused(Refusal.STORE_UNUSABLE, LocalError):
            Store(tmp_path, ROOT)

    def test_a_database_without_tables_is_refused(self, tmp_path):
        (tmp_path / database.FILE).touch()

        with refused(Refusal.STORE_UNUSABLE, LocalError):
            Store(tmp_path, ROOT)

    def test_a_store_of_a_newer_version_is_refused(self, store, tmp_path):
        with store.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

        with refused(Refusal.STORE_UNUSABLE, LocalError):
            Store(tmp_path, ROOT)

    def test_a_database_elsewhere_is_named_by_its_url(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
        (tmp_path / "state").mkdir()

        Store.create(tmp_path / "state", FLEET.roster, url=url).close()
        again = Store(tmp_path / "state", ROOT, url=url)

        assert again.roster() == FLEET.roster
        again.close()
        assert not (tmp_path / "state" / database.FILE).exists()
        again.close()


def migrations():
    config = Config()
    config.set_main_option("script_location", "orchestrator:migrations")
    return config


def store_of_version_1(folder, statements=()):
    engine = database.connect(database.default_url(folder))
    with engine.begin() as connection:
        config = migrations()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in statements:
            connection.exec_driver_sql(statement)
    return engine


def test_an_unused_store_of_protocol_version_1_gets_the_tables_of_this_one(tmp_path):
    store_of_version_1(tmp_path).dispose()

    store = Store(tmp_path, ROOT)

    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    store.close()


def test_a_store_of_protocol_version_1_in_use_is_refused_by_name(tmp_path):
    engine = store_of_version_1(tmp_path, ["INSERT INTO rosters VALUES (1, x'00', 0.0)"])

    with pytest.raises(LocalError, match="protocol version 1, which is no longer spoken") as caught:
        Store(tmp_path, ROOT)
    assert caught.value.reason is Refusal.STORE_UNUSABLE
    assert "deal the committee's key anew" in caught.value.next_step
    with engine.connect() as connection:
        assert database._revision(connection) == "0001"
        assert connection.exec_driver_sql("SELECT count(*) FROM rosters").scalar_one() == 1
    engine.dispose()


def test_a_restart_needs_neither_the_sealed_bytes_nor_the_masked_vectors(tmp_path):
    """The sum is stored with the contributions that it holds; what is kept of one is its signed body."""
    new_store(FLEET, tmp_path)
    party = StoredOrchestrator(FLEET, tmp_path)
    party.take(RoundWanted())
    party.take(ContributionsArrived(tuple(SEALED.items())))
    total = party.state.total.to_bytes()
    party.store.close()
    blobs = {path.name for path in (tmp_path / "blobs").iterdir()}

    party = StoredOrchestrator(FLEET, tmp_path)

    assert not {sha256(sealed).hex() for sealed in SEALED.values()} & blobs
    assert (party.state.total.to_bytes(), set(party.state.accepted)) == (total, set(SEALED))
    party.store.close()


def test_the_migrations_make_the_tables_of_the_schema(store):
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_revisions_that_need_no_alembic_are_those_of_the_migrations(store):
    config = migrations()
    assert [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()] == list(reversed(REVISIONS))
    with store.engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == REVISIONS[-1]


def test_a_change_of_the_schema_without_a_migration_would_be_noticed(store):
    changed = sa.MetaData()
    for table in metadata.sorted_tables:
        table.to_metadata(changed)
    sa.Table("more", changed, sa.Column("id", sa.Integer, primary_key=True))

    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), changed)


class TestJobs:
    def test_before_the_first_job_there_is_none(self, store):
        assert store.job() is None
        with refused(Refusal.JOB_UNKNOWN, LocalError):
            store.end_job()
        with refused(Refusal.JOB_UNKNOWN, LocalError):
            coordinator_state(store, FLEET.coordinator(), now_ms=0, now_s=0)

    def test_a_new_job_ends_the_one_before_it(self, begun):
        begun.begin_job("other", b"other", "text", FLEET.progress)

        assert begun.job().name == "other"
        assert [ended is None for ended in column(begun, jobs.c.ended_at)] == [False, True]

    def test_a_job_that_was_over_can_go_on_under_new_settings(self, begun):
        begun.end_job()
        assert begun.job().ended

        job = begun.continue_job("more rounds")

        assert (job.ended, job.settings) == (False, "more rounds")

    def test_archives_of_two_jobs_of_one_name_are_two(self, begun):
        first = begun.archive(begun.job()).folder
        begun.begin_job("tiny", b"tiny", "text", FLEET.progress)

        assert begun.archive(begun.job()).folder != first


class TestChanges:
    def test_what_a_device_stores_is_not_for_this_store(self, begun):
        with pytest.raises(TypeError, match="KeepSeen"):
            begun.persist((KeepSeen(b"", 1),))

    def test_a_round_number_is_used_once(self, begun):
        change = KeepRound(PLAN.plan.key_id, 1, PLAN.signed)
        begun.persist((change,))

        with pytest.raises(IntegrityError):
            begun.persist((change,))

    def test_a_second_request_for_a_round_is_refused_by_the_database(self, begun):
        begun.persist((KeepRound(PLAN.plan.key_id, 1, PLAN.signed),))
        first, second = (encode(FLEET.request(PLAN, FLEET.bodies(PLAN, FLEET.names[:count]))) for count in (4, 5))
        begun.persist((KeepRequest(1, first),))

        with refused(Refusal.STATE_IN_USE, LocalError):
            begun.persist((KeepRequest(1, second),))
        assert column(begun, rounds.c.request) == [sha256(first)]

    def test_nothing_is_stored_for_a_round_that_is_not_open(self, begun):
        with refused(Refusal.STATE_IN_USE, LocalError):
            begun.persist((KeepAccepted(1, (ACCEPTED,), b""),))

    def test_changes_of_one_step_are_stored_together_or_not_at_all(self, begun):
        newer = FLEET.newer()

        with refused(Refusal.STATE_IN_USE, LocalError):
            begun.persist((KeepRoster(newer.roster.signed), KeepRequest(1, b"request")))

        assert column(begun, rosters.c.serial) == [1]

    def test_blobs_of_earlier_rounds_are_removed(self, tmp_path):
        new_store(FLEET, tmp_path)
        party = StoredOrchestrator(FLEET, tmp_path)
        party.go_on(SEALED)
        named = (accepted.c.kept, rounds.c.request, rounds.c.total)
        of_the_round = {digest.hex() for which in named for digest in column(party.store, which)}
        assert len(of_the_round) == len(SEALED) + 2
        assert of_the_round <= {path.name for path in (tmp_path / "blobs").iterdir()}

        party.store.persist((KeepRound(PLAN.plan.key_id, 2, PLAN.signed),))

        left = {path.name for path in (tmp_path / "blobs").iterdir()}
        assert not of_the_round & left
        assert sha256(party.state.memory.progress.result).hex() in left
        party.store.close()


@dataclass(frozen=True)
class Worth:
    loss: float
    accuracy: float | None


def after_rounds(folder, scores):
    """The current job's row after as many rounds as there are scores, the first being that of the first model."""
    store = Store.create(folder, FLEET.roster)
    store.score = lambda progress: scores[progress.version]
    store.begin_job("tiny", b"tiny", "", FLEET.progress)
    store.close()
    party = StoredOrchestrator(FLEET, folder)
    party.store.score = lambda progress: scores[progress.version]
    for number in range(1, len(scores)):
        moved = GlobalModel(number - 1, np.full(10, number, dtype=np.float32))
        state = party.running.state
        if number > 1:
            moved_on = replace(state.memory.progress, model=moved)
            state = replace(state, memory=replace(state.memory, progress=moved_on))
        party.running = Running(FLEET.coordinator(), state, party.store.persist, SystemRandomness())
        plan = replace(FLEET, model=own(state.memory.progress).model).plan(number, journal=state.memory.journal)
        party.go_on({name: FLEET.sealed(plan, name, FLEET.body(plan, name)) for name in FLEET.names[:4]}, number)
    with party.store.engine.connect() as connection:
        row = connection.execute(sa.select(jobs)).one()
    party.store.close()
    return row


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([Worth(1, 0.5), Worth(1, 0.7), Worth(1, 0.6)], 1),
        ([Worth(1, 0.9), Worth(1, 0.7), Worth(1, 0.6)], 0),
        ([Worth(3, None), Worth(2, None), Worth(1, None)], 2),
        ([Worth(1, None), Worth(2, None), Worth(3, None)], 0),
        ([None, None, None], 2),
    ],
)
def test_the_best_model_is_the_one_with_the_best_score_or_without_scores_the_latest(tmp_path, scores, best):
    row = after_rounds(tmp_path, scores)

    assert (row.version, row.best_version) == (2, best)


def test_damage_to_a_contribution_is_noticed_at_the_next_start(tmp_path):
    new_store(FLEET, tmp_path)
    party = StoredOrchestrator(FLEET, tmp_path)
    name = FLEET.names[0]
    party.take(RoundWanted())
    party.take(ContributionsArrived(((name, SEALED[name]),)))
    party.store.close()
    store = Store(tmp_path, ROOT)
    (kept,) = column(store, accepted.c.kept)
    store.close()
    (tmp_path / "blobs" / kept.hex()).write_bytes(b"damage")

    with refused(Refusal.STORE_UNUSABLE, LocalError):
        StoredOrchestrator(FLEET, tmp_path)


def test_what_devices_say_replaces_what_they_said(store):
    store.keep_statuses({"device-01": b"one", "device-02": b"two"})
    store.keep_statuses({"device-01": b"three"})

    with store.engine.connect() as connection:
        found = {row.device_id: row.status for row in connection.execute(sa.select(presence))}
    assert found == {"device-01": b"three", "device-02": b"two"}
