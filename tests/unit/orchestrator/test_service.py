from itertools import count

import pytest

from hushfleet.audit import verify_job
from hushfleet.codec import encode
from hushfleet.documents import ReceiptStatus, open_receipt
from hushfleet.errors import LocalError, PeerError, PhaseError, Refusal
from hushfleet.labels import sha256
from hushfleet.link import MemoryBroker, MemoryLink, Messenger
from hushfleet.program.archive_folder import read_archive
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.coordinator import Collecting, Decrypting, NoRound
from hushfleet.rounds.effects import Note, Refused
from hushfleet.rounds.events import RequestArrived
from hushfleet.rounds.tasks.train import own
from hushfleet.wire import Kind, Topic, decode_signed
from hushfleet.wire.topics import subscription
from orchestrator.service import Orchestrator
from orchestrator.store.archive_folder import Archive
from tests.support.chunked import wholes
from tests.support.fleet import make_fleet, published
from tests.support.refusals import refused

FLEET = make_fleet()
NAMES = FLEET.names
FLEET_NAME = FLEET.roster.roster.fleet


class Bench:
    """An orchestrator on a memory link; the test speaks for devices and members."""

    def __init__(self, folder, fleet=FLEET) -> None:
        self.fleet, self.reports, clock = fleet, [], count(1000)
        self.broker = MemoryBroker(FLEET_NAME)
        self.archive = Archive(folder, fleet.parties.owner.root.verify_key)
        links = {name: self.broker.connect(name, member=name in fleet.parties.committee) for name in fleet.names}
        self.messengers = {name: Messenger(link, folder / name) for name, link in links.items()}
        self.orchestrator = Orchestrator(
            fleet.coordinator(),
            fleet.coordinator_state(),
            Messenger(self.broker.connect("orchestrator", orchestrator=True), folder / "spool"),
            self.archive,
            now_ms=lambda: next(clock),
            report=self.reports.append,
        )
        self.orchestrator.connect()

    def retained(self, kind):
        """What a newcomer who may read this kind of topic gets at once."""
        newcomer = MemoryLink(self.broker, "newcomer")
        newcomer.allow((("read", subscription(FLEET_NAME, kind)),))
        newcomer.subscribe(subscription(FLEET_NAME, kind))
        found = []
        while (delivery := newcomer.receive()) is not None:
            found.append(delivery)
        return [data for _, data in wholes(found)]

    def send(self, name, kind, data, number=1):
        self.messengers[name].send(Topic(FLEET_NAME, kind, device=name, number=number, chunk=0), data)

    def contribute(self, *names: str):
        plan = self.orchestrator.state.terms.verified_plan
        for name in names:
            self.send(name, Kind.CONTRIBUTION, self.fleet.sealed(plan, name, self.fleet.body(plan, name)))
        return self.orchestrator.pump()

    def answer(self, *names: str):
        request = RequestArrived(encode(self.orchestrator.state.request))
        for name in names:
            _, effects = self.fleet.member(name).step(self.fleet.member_state(name), request, SystemRandomness())
            self.send(name, Kind.PARTIAL, published(effects, Kind.PARTIAL)[0])
        return self.orchestrator.pump()


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "archive")


def test_a_round_from_its_plan_to_its_archive(bench):
    bench.orchestrator.start_round()
    assert bench.contribute(*NAMES[:4]) == 4
    bench.orchestrator.end_collection()
    assert bench.answer(*NAMES[:3]) == 3

    assert (type(bench.orchestrator.state), bench.orchestrator.state.memory.progress.version) == (NoRound, 1)
    rounds = read_archive(bench.archive.folder)
    report = verify_job(rounds, FLEET.parties.owner.root.verify_key, SystemRandomness(), insecure_keys=True)
    assert report.result_digest == own(bench.orchestrator.state.memory.progress).model.digest
    assert not bench.reports


def test_a_contribution_that_outlived_its_round_is_told_so_while_the_next_one_collects(bench):
    """Else its device would send it again with every connection."""
    bench.orchestrator.start_round()
    plan = bench.orchestrator.state.terms.verified_plan
    bench.orchestrator.end_collection()
    bench.orchestrator.start_round()
    bench.reports.clear()
    late = FLEET.sealed(plan, NAMES[0], FLEET.body(plan, NAMES[0]))
    bench.messengers[NAMES[0]].subscribe(FLEET_NAME, Kind.RECEIPT, device=NAMES[0])

    for number in (1, 0, 7):  # its own round, and two that never were
        bench.send(NAMES[0], Kind.CONTRIBUTION, late, number)
    bench.orchestrator.pump()

    told = []
    while (arrived := bench.messengers[NAMES[0]].receive()) is not None:
        told.append(open_receipt(decode_signed(arrived.data), FLEET.roster.orchestrator))
    assert [(one.round, one.whole_hash, one.status, one.reason) for one in told] == [
        (1, sha256(late), ReceiptStatus.REFUSED, Refusal.CONTRIBUTION_LATE.value)
    ]
    assert not bench.reports


def test_connecting_publishes_what_the_broker_should_retain(bench):
    assert bench.retained(Kind.MODEL) == [FLEET.model.to_bytes()]
    assert len(bench.retained(Kind.ROSTER)) == 1
    assert bench.retained(Kind.PLAN) == []


def test_a_closed_rounds_plan_is_no_longer_retained(bench):
    bench.orchestrator.start_round()
    assert len(bench.retained(Kind.PLAN)) == 1

    bench.orchestrator.abort("enough")

    assert bench.retained(Kind.PLAN) == []
    assert len(bench.retained(Kind.RECORD)) == 1


def test_a_round_under_way_is_not_started_twice(bench):
    bench.orchestrator.start_round()
    with refused(Refusal.PHASE, PhaseError):
        bench.orchestrator.start_round()


def test_a_job_that_no_plan_can_hold_says_so_at_once(tmp_path):
    bench = Bench(tmp_path / "archive", make_fleet(job={"noise_multiplier": 1e6}))
    with refused(Refusal.PLAN_UNREACHABLE, LocalError):
        bench.orchestrator.start_round()


def test_contributions_that_arrived_together_are_one_batch(bench):
    bench.orchestrator.start_round()
    bench.contribute(*NAMES[:3])

    assert len(bench.orchestrator.state.accepted) == 3


def test_refused_contributions_are_reported_and_the_others_count(bench):
    bench.orchestrator.start_round()
    bench.send(NAMES[4], Kind.CONTRIBUTION, b"garbage")
    bench.contribute(NAMES[0])

    assert set(bench.orchestrator.state.accepted) == {NAMES[0]}
    with refused(Refusal.SEAL, PeerError):
        raise next(report.error for report in bench.reports if isinstance(report, Refused))


def test_what_comes_at_the_wrong_time_leaves_a_note(bench):
    bench.send(NAMES[0], Kind.CONTRIBUTION, b"early")
    bench.send(NAMES[0], Kind.PARTIAL, b"early")
    bench.orchestrator.pump()
    bench.orchestrator.end_collection()
    bench.orchestrator.abort("nothing under way")

    assert [type(report) for report in bench.reports] == [Note] * 3


def test_empty_messages_are_none(bench):
    bench.orchestrator.start_round()
    bench.send(NAMES[0], Kind.CONTRIBUTION, b"")

    bench.orchestrator.pump()

    assert (type(bench.orchestrator.state), bench.orchestrator.state.accepted, bench.reports) == (Collecting, {}, [])


def test_a_round_that_cannot_be_archived_is_not_over(bench, monkeypatch):
    bench.orchestrator.start_round()
    bench.contribute(*NAMES[:4])
    bench.orchestrator.end_collection()

    def full(*_: object):
        raise OSError("the disk is full")

    monkeypatch.setattr(Archive, "store", full)
    with pytest.raises(OSError, match="disk is full"):
        bench.answer(*NAMES[:3])
    assert (type(bench.orchestrator.state), bench.orchestrator.state.memory.progress.version) == (Decrypting, 0)
    assert bench.retained(Kind.MODEL) == [FLEET.model.to_bytes()]

    monkeypatch.undo()
    bench.answer(NAMES[3])
    assert bench.orchestrator.state.memory.progress.version == 1


def test_too_few_contributions_at_the_deadline_abort_and_are_archived(bench):
    bench.orchestrator.start_round()
    bench.contribute(*NAMES[:3])
    bench.orchestrator.end_collection()

    assert isinstance(bench.orchestrator.state, NoRound)
    (files,) = read_archive(bench.archive.folder)
    assert "request" not in files
