"""An orchestrator that is killed anywhere goes on from its store: same outcome, one header per round, receipts that stay true."""

import os
import signal
import warnings
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import event

from hushfleet.audit import verify_job
from hushfleet.documents import Outcome, ReceiptStatus, open_header, open_receipt, open_record
from hushfleet.program.archive_folder import read_archive
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.coordinator import CoordinatorState, NoRound
from hushfleet.rounds.effects import KeepRequest, Publish
from hushfleet.rounds.events import ContributionsArrived, DeadlinePassed, RoundWanted
from hushfleet.rounds.tasks.train import own
from hushfleet.wire import Kind, decode_decryption_request, decode_signed
from orchestrator.store.store import Store
from tests.support.fleet import make_fleet
from tests.support.fleet.stores import PowerCut, StoredOrchestrator, new_store

FLEET = make_fleet()
KEY = FLEET.roster.orchestrator
PLAN = FLEET.plan()
SEALED = {name: FLEET.sealed(PLAN, name, FLEET.body(PLAN, name)) for name in FLEET.names}
ENOUGH = {name: SEALED[name] for name in FLEET.names[:4]}
TOO_FEW = {name: SEALED[name] for name in FLEET.names[:3]}


class Entry(msgspec.Struct):
    """One message that left: the kind of its topic, the device in it, and its bytes."""

    kind: str
    device: str | None
    data: bytes


class Journal:
    """Everything that ever left, over several lives of the orchestrator; in a file, so that it survives them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, sent: Publish) -> None:
        entry = msgspec.msgpack.encode(Entry(sent.topic.kind.name, sent.topic.device, sent.data))
        with self._path.open("ab") as file:
            file.write(len(entry).to_bytes(4, "big") + entry)

    def of(self, kind: Kind) -> list[Entry]:
        data, found = self._path.read_bytes() if self._path.exists() else b"", []
        while data:
            size = 4 + int.from_bytes(data[:4], "big")
            found.append(msgspec.msgpack.decode(data[4:size], type=Entry))
            data = data[size:]
        return [entry for entry in found if entry.kind == kind.name and entry.data]

    def headers(self) -> set[bytes]:
        return {decode_decryption_request(entry.data).header.content for entry in self.of(Kind.REQUEST)}

    def plans(self) -> set[bytes]:
        return {decode_signed(entry.data).content for entry in self.of(Kind.PLAN)}

    def records(self) -> set[bytes]:
        return {decode_signed(entry.data).content for entry in self.of(Kind.RECORD)}

    def told(self, status: ReceiptStatus) -> set[str]:
        receipts = [open_receipt(decode_signed(entry.data), KEY) for entry in self.of(Kind.RECEIPT)]
        return {receipt.device_id for receipt in receipts if receipt.status is status}


def saved(state: CoordinatorState) -> CoordinatorState:
    """What of a state is said to be durable."""
    if isinstance(state, NoRound):
        return replace(state, closed=replace(state.closed, answers=0)) if state.closed else state
    return replace(state, started_ms=0)


def judge_everything_that_left(journal: Journal, party: StoredOrchestrator, outcome: Outcome) -> None:
    record = open_record(party.state.memory.record, KEY)
    assert record.outcome is outcome
    assert len(journal.plans()) == 1
    assert journal.records() == {party.state.memory.record.content}
    assert len(journal.headers()) == (1 if outcome is Outcome.RELEASED else 0)
    for entry in journal.of(Kind.REQUEST):
        header = open_header(decode_decryption_request(entry.data).header, KEY)
        assert (header.root, header.count) == (record.root, len(record.device_ids))
    assert journal.told(ReceiptStatus.ACCEPTED) == set(record.device_ids)
    assert not journal.told(ReceiptStatus.ACCEPTED) & journal.told(ReceiptStatus.REFUSED)


def judge_the_archive(party: StoredOrchestrator) -> None:
    job = party.store.job()
    report = verify_job(read_archive(party.store.archive(job).folder), party.store.root, SystemRandomness(), insecure_keys=True)
    assert report.result_digest == own(party.state.memory.progress).model.digest
    assert not list(party.store.archive(job).folder.glob("*.part"))


def undisturbed(folder: Path, sealed: dict[str, bytes]) -> tuple[CoordinatorState, int]:
    """The outcome, and how many transactions it took."""
    folder.mkdir()
    new_store(FLEET, folder)
    transactions = []
    party = StoredOrchestrator(FLEET, folder, persist=lambda store, changes: (store.persist(changes), transactions.append(changes)))
    party.go_on(sealed)
    party.store.close()
    return saved(party.state), len(transactions)


SCENARIOS = {"released": (ENOUGH, Outcome.RELEASED, 9), "aborted": (TOO_FEW, Outcome.ABORTED, 5)}
CUTS = [(name, number) for name, (_, _, transactions) in SCENARIOS.items() for number in range(1, transactions + 1)]


def after_the_restart(sealed: dict[str, bytes]) -> dict[str, bytes]:
    """One more device is heard from: a cohort that was closed must not take it in, or there would be a second header."""
    return {**sealed, FLEET.names[4]: SEALED[FLEET.names[4]]} if len(sealed) == len(ENOUGH) else sealed


@pytest.fixture(params=SCENARIOS)
def scenario(request):
    return SCENARIOS[request.param]


def test_the_undisturbed_rounds_have_the_transactions_that_the_others_are_cut_at(tmp_path, scenario):
    sealed, outcome, transactions = scenario
    state, counted = undisturbed(tmp_path / "whole", sealed)

    assert (open_record(state.memory.record, KEY).outcome, counted) == (outcome, transactions)


def test_after_every_step_the_store_holds_the_state(tmp_path, scenario):
    sealed, _, _ = scenario
    new_store(FLEET, tmp_path)
    lives = []

    def compare(party):
        again = StoredOrchestrator(FLEET, tmp_path)
        lives.append(saved(again.state))
        assert saved(again.state) == saved(party.state)
        again.store.close()

    party = StoredOrchestrator(FLEET, tmp_path)
    take = party.take
    party.take = lambda happening: (take(happening), compare(party))[0]
    party.go_on(sealed)
    party.store.close()

    assert len(lives) > 8


class Cut:
    """The power goes at the `number`-th transaction, before its commit or right after it."""

    def __init__(self, number: int, *, before_commit: bool) -> None:
        self.number, self.before_commit, self.count = number, before_commit, 0

    def persist(self, store: Store, changes) -> None:
        self.count += 1
        if self.count == self.number:
            if self.before_commit:
                event.listen(store.engine, "commit", self.fall)
            else:
                archive = store.archive(store.job())
                archive.publish = self.fall
                store.archive = lambda _: archive
        store.persist(changes)
        if self.count == self.number:
            raise PowerCut

    def fall(self, _: object) -> None:
        raise PowerCut


@pytest.mark.parametrize("before_commit", [True, False], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize(("name", "number"), CUTS)
def test_a_power_cut_at_any_transaction_comes_to_the_same_outcome(tmp_path, monkeypatch, name, number, before_commit):
    sealed, outcome, _ = SCENARIOS[name]
    monkeypatch.setattr(os, "fsync", lambda _: None)
    new_store(FLEET, tmp_path)
    journal = Journal(tmp_path / "journal")
    cut = Cut(number, before_commit=before_commit)
    party = StoredOrchestrator(FLEET, tmp_path, journal.add, cut.persist)
    with pytest.raises(PowerCut):
        party.go_on(sealed)
    party.store.close()

    party = StoredOrchestrator(FLEET, tmp_path, journal.add)
    party.go_on(after_the_restart(sealed))

    judge_everything_that_left(journal, party, outcome)
    judge_the_archive(party)
    party.store.close()


def kill_at(point: int, folder: Path, journal: Journal, sealed: dict[str, bytes]) -> bool:
    """A life in a process of its own that kills itself at the `point`-th file sync or commit; whether it got there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the test runner's threads do nothing that the child needs
        child = os.fork()
    if child == 0:
        try:
            live_until(point, folder, journal, sealed)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def live_until(point: int, folder: Path, journal: Journal, sealed: dict[str, bytes]) -> None:
    reached = 0

    def step(*_: object) -> None:
        nonlocal reached
        reached += 1
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = step
    party = StoredOrchestrator(FLEET, folder, journal.add)
    event.listen(party.store.engine, "commit", step)
    party.go_on(sealed)


def test_a_kill_at_any_sync_or_commit_comes_to_the_same_outcome(tmp_path, monkeypatch, scenario):
    sealed, outcome, _ = scenario
    monkeypatch.setattr(os, "fsync", lambda _: None)
    killed = 0
    while True:
        folder = tmp_path / str(killed + 1)
        folder.mkdir()
        new_store(FLEET, folder)
        journal = Journal(folder / "journal")
        if not kill_at(killed + 1, folder, journal, sealed):
            break
        killed += 1

        party = StoredOrchestrator(FLEET, folder, journal.add)
        party.go_on(after_the_restart(sealed))

        judge_everything_that_left(journal, party, outcome)
        judge_the_archive(party)
        party.store.close()
    assert killed > 20


def test_a_store_that_forgot_the_request_would_be_noticed(tmp_path):
    def forgetful(store: Store, changes) -> None:
        store.persist(tuple(change for change in changes if not isinstance(change, KeepRequest)))

    new_store(FLEET, tmp_path)
    journal = Journal(tmp_path / "journal")
    party = StoredOrchestrator(FLEET, tmp_path, journal.add, forgetful)
    party.take(RoundWanted())
    party.take(ContributionsArrived(tuple(ENOUGH.items())))
    party.take(DeadlinePassed())
    party.store.close()

    party = StoredOrchestrator(FLEET, tmp_path, journal.add)
    party.go_on(after_the_restart(ENOUGH))
    party.store.close()

    assert len(journal.headers()) == 2
