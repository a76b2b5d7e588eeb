"""An orchestrator's store is put back to every earlier commit: its archive, and what others hold of it, say so before it signs anything."""

import shutil

import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.link import MemoryBroker, Messenger
from hushfleet.rounds.coordinator import NoRound
from hushfleet.rounds.tasks.train import TrainingProgress, own
from hushfleet.training import GlobalModel
from hushfleet.wire import Kind, Topic, encode_signed
from orchestrator.service import Orchestrator
from orchestrator.store import database, journals
from orchestrator.store.recovery import recover
from orchestrator.store.restore import coordinator_state
from orchestrator.store.store import Store
from tests.support.fleet import make_fleet
from tests.support.fleet.stores import StoredOrchestrator, new_store
from tests.support.refusals import refused

FLEET = make_fleet()
NAME = FLEET.roster.roster.fleet
ROOT = FLEET.parties.owner.root.verify_key
PLAN = FLEET.plan()
SEALED = {name: FLEET.sealed(PLAN, name, FLEET.body(PLAN, name)) for name in FLEET.names[:4]}


def restored(result, version):
    return TrainingProgress.start(GlobalModel.from_bytes(result, version=version, dimension=10, max_abs=1e9))


@pytest.fixture
def life(tmp_path):
    """A folder in which one round was released, copies of its store before every commit, and everything that left."""
    folder, copies, sent = tmp_path / "state", [], []
    folder.mkdir()
    new_store(FLEET, folder)

    def persist(store, changes):
        database.checkpoint(store.engine)
        copies.append(tmp_path / f"copy-{len(copies)}")
        copies[-1].mkdir()
        shutil.copy(folder / database.FILE, copies[-1])
        shutil.copytree(folder / "blobs", copies[-1] / "blobs")
        store.persist(changes)

    party = StoredOrchestrator(FLEET, folder, sent.append, persist)
    party.go_on(SEALED)
    party.store.close()
    assert len(copies) > 4
    return folder, copies, sent


def put_back(folder, copy):
    for name in (f"{database.FILE}-wal", f"{database.FILE}-shm"):
        (folder / name).unlink(missing_ok=True)
    shutil.copy(copy / database.FILE, folder)
    shutil.rmtree(folder / "blobs")
    shutil.copytree(copy / "blobs", folder / "blobs")


def broker_with(sent):
    """A broker that retains what had left when the power went."""
    broker = MemoryBroker(NAME)
    messenger = Messenger(broker.connect("orchestrator", orchestrator=True), broker_with.folder)
    for one in sent:
        if one.topic.kind in (Kind.PLAN, Kind.RECORD):
            messenger.send(one.topic, one.data, clears_bytes=one.clears_bytes)
    return broker


def start(folder, broker):
    """A store that is opened, and an orchestrator that has read back what the broker holds."""
    store = Store(folder, ROOT)
    try:
        machine = FLEET.coordinator()
        state = coordinator_state(store, machine, now_ms=0, now_s=0, read_back=False)
        messenger = Messenger(broker.connect("orchestrator", orchestrator=True), folder / "spool")
        orchestrator = Orchestrator(machine, state, messenger, store, now_ms=lambda: 0)
        orchestrator.connect()
        while orchestrator.pump():
            pass
        return orchestrator
    finally:
        store.close()


def test_put_back_to_any_commit_the_archive_or_the_retained_record_says_so(life, tmp_path):
    folder, copies, sent = life
    broker_with.folder = tmp_path / "spool"
    for archived in (True, False):
        if not archived:
            shutil.rmtree(folder / "archive")
        for copy in copies:
            put_back(folder, copy)
            with refused(Refusal.STORE_ROLLED_BACK, LocalError):
                start(folder, broker_with(sent))
            # It is remembered, whatever the broker says the next time.
            with refused(Refusal.STORE_ROLLED_BACK, LocalError):
                Store(folder, ROOT)


def test_put_back_while_its_plan_is_out_a_lower_store_is_noticed(life, tmp_path):
    folder, copies, sent = life
    broker_with.folder = tmp_path / "spool"
    shutil.rmtree(folder / "archive")
    put_back(folder, copies[0])
    plan_is_out = [one for one in sent if one.topic.kind is Kind.PLAN and one.data][:1]

    with refused(Refusal.STORE_ROLLED_BACK, LocalError):
        start(folder, broker_with(plan_is_out))


def test_a_store_as_it_was_left_goes_on(life, tmp_path):
    folder, _, sent = life
    broker_with.folder = tmp_path / "spool"

    orchestrator = start(folder, broker_with(sent))

    assert orchestrator.state.memory.read_back
    assert isinstance(orchestrator.state, NoRound)


def test_recovered_it_has_the_rounds_of_its_archive_and_begins_above_them(life):
    folder, copies, _ = life
    for copy in copies:
        put_back(folder, copy)
        store = Store(folder, ROOT, recovering=True)

        found = recover(store, FLEET.roster.orchestrator, restored)
        store.close()

        assert (len(found.rounds), found.highest) == (1, 1)
        party = StoredOrchestrator(FLEET, folder)
        assert own(party.state.memory.progress).model.version == 1
        assert party.state.memory.last_round == {FLEET.roster.key_id: 1}
        party.store.close()


def test_an_archive_that_was_altered_is_noticed_at_the_start(life):
    folder, _, _ = life
    (path,) = folder.glob("archive/*/epoch-*/after")
    path.write_bytes(b"another model")

    with refused(Refusal.STORE_DAMAGED, LocalError):
        Store(folder, ROOT)


def test_a_journal_that_was_altered_is_noticed_at_the_start(life):
    folder, _, _ = life
    store = Store(folder, ROOT)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM journal WHERE number = 1")
    store.close()

    with refused(Refusal.STORE_DAMAGED, LocalError):
        Store(folder, ROOT)


def test_a_garbled_page_is_noticed_at_the_start(life):
    folder, _, _ = life
    data = bytearray((folder / database.FILE).read_bytes())
    size = 256 * data[16] + data[17]
    data[3 * size : 5 * size] = b"\xff" * (2 * size)
    (folder / database.FILE).write_bytes(data)

    with refused(Refusal.STORE_DAMAGED, LocalError):
        Store(folder, ROOT)


def test_a_lost_log_takes_no_finished_round_with_it(life):
    folder, _, _ = life
    for name in (f"{database.FILE}-wal", f"{database.FILE}-shm"):
        (folder / name).unlink(missing_ok=True)

    party = StoredOrchestrator(FLEET, folder)
    assert own(party.state.memory.progress).model.version == 1
    party.store.close()


def test_a_copy_of_the_folder_does_not_start(life, tmp_path):
    folder, _, _ = life
    store = Store(folder, ROOT)
    journals.require_place(store.engine, folder / database.FILE)
    journals.require_place(store.engine, folder / database.FILE)
    store.close()
    shutil.copytree(folder, tmp_path / "copy")

    copy = Store(tmp_path / "copy", ROOT)
    with refused(Refusal.STORE_MOVED, LocalError):
        journals.require_place(copy.engine, tmp_path / "copy" / database.FILE)
    recover(copy, FLEET.roster.orchestrator, restored)
    journals.require_place(copy.engine, tmp_path / "copy" / database.FILE)
    copy.close()


def test_a_settled_round_of_which_only_the_floor_is_known_is_no_news(life, tmp_path):
    folder, _, _ = life
    store = Store(folder, ROOT)
    with store.engine.begin() as connection:
        journals.keep_floor(connection, FLEET.roster.key_id, 2, settled=True)
    store.close()
    broker, plan = MemoryBroker(NAME), FLEET.plan(2)
    messenger = Messenger(broker.connect("orchestrator", orchestrator=True), tmp_path / "spool")
    messenger.send(Topic(NAME, Kind.PLAN), encode_signed(plan.signed))
    assert start(folder, broker).state.memory.read_back
