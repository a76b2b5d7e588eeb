"""The loop of a job, over the memory link and by a clock that only waiting moves."""

from dataclasses import dataclass, field

import pytest

from hushfleet.documents import Outcome, ReceiptStatus, open_header, open_receipt
from hushfleet.errors import LocalError, Refusal
from hushfleet.link import LinkError, MemoryBroker, Messenger
from hushfleet.rounds.coordinator import Collecting, Decrypting, NoRound
from hushfleet.rounds.effects import Note, Publish
from hushfleet.wire import Kind, Topic, decode_decryption_request, decode_signed, encode_signed, parse
from orchestrator.loop import Goal, Loop, Pace, Surroundings
from orchestrator.service import Orchestrator
from orchestrator.store.archive_folder import Archive
from tests.support.fleet import make_fleet
from tests.support.fleet.links import Clock, LivelyLink, Others
from tests.support.refusals import refused

FLEET = make_fleet(job={"deadline_s": 60})
FLEET_NAME = FLEET.roster.roster.fleet
NAMES = FLEET.names


@dataclass
class Log:
    """A watcher that remembers."""

    lines: list[tuple[object, ...]] = field(default_factory=list)

    def connected(self, connections):
        self.lines.append(("connected", connections))

    def began(self, state):
        self.lines.append(("began", state.terms.plan.round))

    def moved(self, state):
        self.lines.append(("moved", len(state.accepted), len(state.answers) if isinstance(state, Decrypting) else 0))

    def ended(self, record, _, wait_s):
        self.lines.append((record.outcome.value, record.round, wait_s))

    def of(self, kind):
        return [line for line in self.lines if line[0] == kind]


class Stage:
    """An orchestrator's loop and the others around it."""

    def __init__(self, folder, *, wanted=1, fleet=FLEET, give_up=20, pace=None) -> None:
        self.clock, self.log, self.tape, self.heard, self.reports = Clock(), Log(), [], {}, []
        self.broker = MemoryBroker(FLEET_NAME, tap=self._record)
        self.others = Others(fleet, self.broker, folder)
        self.link = LivelyLink(self.broker.connect("orchestrator", orchestrator=True), self.others, self.clock)
        self.messenger = Messenger(self.link, folder / "spool", now_s=self.clock)
        self.archive = Archive(folder / "archive", fleet.parties.owner.root.verify_key)
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.orchestrator = Orchestrator(
            fleet.coordinator(),
            fleet.coordinator_state(),
            self.messenger,
            self.archive,
            now_ms=lambda: int(self.clock() * 1000),
            report=self.reports.append,
        )
        self.loop = Loop(
            self.orchestrator,
            self.messenger,
            self,
            self.log,
            Goal(released=0, wanted=wanted, give_up=give_up),
            surroundings=Surroundings(
                now_s=self.clock,
                pending_rosters=lambda: tuple(sorted(self.inbox.iterdir())),
                stale_topics=lambda: (Publish(Topic(FLEET_NAME, Kind.RECORD, number=77, chunk=0), b""),),
            ),
            pace=pace,
        )

    def keep_statuses(self, statuses):
        self.heard |= statuses

    def _record(self, identity, delivery):
        self.tape.append((identity, parse(delivery.topic), delivery.data))
        return delivery

    def sent(self, kind):
        return [(topic, data) for who, topic, data in self.tape if who == "orchestrator" and topic.kind is kind and data]

    def turn(self, times=1):
        for _ in range(times):
            self.loop.step()


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


def test_a_job_runs_until_enough_rounds_are_released(tmp_path):
    stage = Stage(tmp_path, wanted=3)

    assert stage.loop.run()

    assert stage.loop.done
    assert stage.log.of("released") == [("released", number, 0.0) for number in (1, 2, 3)]
    assert stage.log.of("began") == [("began", number) for number in (1, 2, 3)]
    assert (stage.orchestrator.state.memory.progress.version, stage.loop.released) == (3, 3)


def test_what_was_released_before_counts(tmp_path):
    stage = Stage(tmp_path, wanted=1)
    stage.loop.released = 1

    assert stage.loop.run()
    assert not stage.log.lines


def test_contributions_that_come_together_are_verified_together(stage):
    stage.loop.run()

    assert ("moved", 5, 0) in stage.log.lines
    assert ("moved", 1, 0) not in stage.log.lines


def test_nothing_is_sent_before_there_is_a_connection(stage):
    stage.link.connections = 0

    stage.turn(3)

    assert not stage.sent(Kind.PLAN)
    assert isinstance(stage.orchestrator.state, NoRound)


def test_a_round_closes_at_its_deadline_with_enough(stage):
    stage.others.present = set(NAMES[:4])
    began_s = stage.clock()

    stage.loop.run()

    assert stage.log.of("released") == [("released", 1, 0.0)]
    assert 60 <= stage.clock() - began_s < 70


def test_too_few_abort_and_the_next_round_waits_twice_as_long_each_time(tmp_path):
    stage = Stage(tmp_path, give_up=4)
    stage.others.present = set(NAMES[:2])

    with refused(Refusal.JOB_STALLED, LocalError):
        stage.loop.run()

    assert stage.log.of("aborted") == [("aborted", number, wait_s) for number, wait_s in ((1, 5), (2, 10), (3, 20), (4, 40))]


def test_a_released_round_forgives_the_aborted_ones(tmp_path):
    stage = Stage(tmp_path, wanted=2, give_up=2)
    stage.others.present = set(NAMES[:2])
    while not stage.log.of("aborted"):
        stage.turn()
    stage.others.present = set(NAMES)

    assert stage.loop.run()
    assert len(stage.log.of("aborted")) == 1


def test_the_request_is_sent_again_as_it_is_while_answers_are_missing(stage):
    stage.others.answering = set()
    while not isinstance(stage.orchestrator.state, Decrypting):
        stage.turn()
    stage.turn(100)
    requests = [data for _, data in stage.sent(Kind.REQUEST)]
    stage.others.answering = set(FLEET.parties.committee)

    assert stage.loop.run()

    assert 3 <= len(requests) <= 6
    assert len(set(requests)) == 1


def test_without_a_quorum_a_round_is_aborted_and_another_one_tried(stage):
    stage.others.answering = set(FLEET.parties.committee[:2])
    while not stage.log.of("aborted"):
        stage.turn()
    stage.others.answering = set(FLEET.parties.committee)

    assert stage.loop.run()
    headers = {open_header(decode_decryption_request(data).header, FLEET.roster.orchestrator) for data in stage.others.requests}
    assert {header.round for header in headers} == {1, 2}
    assert len(headers) == 2


def test_a_new_connection_publishes_everything_again(stage):
    stage.others.present = set()
    stage.turn(2)
    before = len(stage.tape)

    stage.link.connections = 2
    stage.turn()

    again = [(topic.kind, bool(data)) for who, topic, data in stage.tape[before:] if who == "orchestrator"]
    assert {(Kind.ROSTER, True), (Kind.MODEL, True), (Kind.PLAN, True)} <= set(again)
    assert (Kind.RECORD, False) in again
    assert stage.log.of("connected") == [("connected", 1), ("connected", 2)]


def test_a_roster_in_the_inbox_ends_the_round_and_is_taken_once(stage):
    stage.others.present = set()
    stage.turn(2)
    newer = FLEET.without(NAMES[5])
    (stage.inbox / "2.roster").write_bytes(encode_signed(newer.roster.signed))

    stage.turn()

    assert stage.orchestrator.state.memory.roster.digest == newer.roster.digest
    assert stage.log.of("aborted") == [("aborted", 1, 5.0)]
    assert not list(stage.inbox.iterdir())


def test_a_roster_that_is_refused_does_not_come_again(stage):
    (stage.inbox / "1.roster").write_bytes(b"garbage")
    stage.others.present = set()

    stage.turn()

    assert stage.reports
    assert not list(stage.inbox.iterdir())


class Narrow:
    """A link over which only small messages fit."""

    def __init__(self, link) -> None:
        self._link, self.max_bytes = link, 400

    def __getattr__(self, name: str) -> object:
        return getattr(self._link, name)


def test_whoever_sent_a_part_is_told_what_is_missing(stage):
    stage.others.present = set()
    stage.turn()
    name, plan = NAMES[0], stage.orchestrator.state.terms.verified_plan
    sealed = FLEET.sealed(plan, name, FLEET.body(plan, name))
    sender = Messenger(Narrow(stage.others.messengers[name].link), stage.inbox.parent / "narrow")
    topic = Topic(FLEET_NAME, Kind.CONTRIBUTION, device=name, number=1, chunk=0)

    sender.send(topic, sealed, ranges=((0, 1), (2, 3)))
    stage.turn(15)

    receipts = [open_receipt(decode_signed(data), FLEET.roster.orchestrator) for _, data in stage.sent(Kind.RECEIPT)]
    assert {receipt.status for receipt in receipts} == {ReceiptStatus.HELD}
    assert receipts[0].missing[0] == (1, 2)
    assert len(receipts) < 4

    sender.send(topic, sealed, ranges=receipts[0].missing)
    stage.turn()
    assert set(stage.orchestrator.state.accepted) == {name}


def test_parts_of_something_else_are_not_answered(stage):
    stage.others.present = set()
    stage.turn()
    name, plan = NAMES[0], stage.orchestrator.state.terms.verified_plan
    sealed = FLEET.sealed(plan, name, FLEET.body(plan, name))
    sender = Messenger(Narrow(stage.others.messengers[name].link), stage.inbox.parent / "narrow")

    sender.send(Topic(FLEET_NAME, Kind.CONTRIBUTION, device=name, number=9, chunk=0), sealed, ranges=((0, 1),))
    sender.send(Topic(FLEET_NAME, Kind.PARTIAL, device=name, number=1, chunk=0), sealed, ranges=((0, 1),))
    stage.turn(15)

    assert not stage.sent(Kind.RECEIPT)


def test_transfers_that_nobody_goes_on_with_are_forgotten(tmp_path):
    stage = Stage(tmp_path, pace=Pace(forget_s=20))
    stage.others.present = set()
    stage.turn()
    sender = Messenger(Narrow(stage.others.messengers[NAMES[0]].link), stage.inbox.parent / "narrow")
    sender.send(Topic(FLEET_NAME, Kind.CONTRIBUTION, device=NAMES[0], number=9, chunk=0), bytes(2000), ranges=((0, 1),))
    stage.turn(2)
    assert stage.messenger.incomplete()

    stage.turn(50)

    assert not stage.messenger.incomplete()


def test_what_devices_say_of_themselves_is_kept_in_batches(stage):
    stage.others.present = set()
    stage.others.say(NAMES[:2])

    stage.turn(3)
    assert not stage.heard
    stage.turn(12)

    assert set(stage.heard) == set(NAMES[:2])


def test_a_stop_ends_the_loop_after_its_step_and_leaves_the_round_open(stage):
    stage.others.present = set()
    stage.link.before_receiving = stage.loop.stop
    stage.others.say(NAMES[:1])

    assert not stage.loop.run()

    assert isinstance(stage.orchestrator.state, Collecting)
    assert set(stage.heard) == set(NAMES[:1])


def test_what_cannot_be_sent_is_noted_and_nothing_stops(stage, monkeypatch):
    def away(*_: object, **__: object):
        raise LinkError(Refusal.LINK_AWAY, "the broker is away")

    monkeypatch.setattr(stage.messenger, "send", away)
    stage.turn()

    assert isinstance(stage.orchestrator.state, Collecting)
    assert any(isinstance(one, Note) and "broker is away" in one.text for one in stage.reports)


def test_a_plan_that_cannot_be_stops_the_job(tmp_path):
    stage = Stage(tmp_path, fleet=make_fleet(job={"noise_multiplier": 1e6}))

    with refused(Refusal.PLAN_UNREACHABLE, LocalError):
        stage.loop.run()


def test_every_outcome_is_told_once(tmp_path):
    stage = Stage(tmp_path, wanted=2)
    stage.others.present = set(NAMES[:2])
    while not stage.log.of("aborted"):
        stage.turn()
    stage.others.present = set(NAMES)
    stage.loop.run()

    assert [line[:2] for line in stage.log.lines if line[0] in {one.value for one in Outcome}] == [
        ("aborted", 1),
        ("released", 2),
        ("released", 3),
    ]
