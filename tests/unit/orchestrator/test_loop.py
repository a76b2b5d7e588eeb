"""The loop of a job, over the memory link and by a clock that only waiting moves."""

from dataclasses import replace

import pytest

from hushfleet.documents import Outcome, ReceiptStatus, open_receipt
from hushfleet.errors import LocalError, Refusal
from hushfleet.link import LinkError, Messenger
from hushfleet.rounds.coordinator import Collecting, Decrypting, NoRound
from hushfleet.rounds.effects import Note
from hushfleet.wire import Kind, Readiness, Topic, decode_signed, encode_signed, parse
from orchestrator.loop import Pace
from tests.support.fleet import make_fleet
from tests.support.fleet.orchestrator import LoopOnALink
from tests.support.refusals import refused

FLEET = make_fleet(job={"deadline_s": 60})
FLEET_NAME = FLEET.roster.roster.fleet
NAMES = FLEET.names


@pytest.fixture
def job(tmp_path):
    return LoopOnALink(tmp_path, FLEET)


def test_a_job_runs_until_enough_rounds_are_released(tmp_path):
    job = LoopOnALink(tmp_path, FLEET, wanted=3)

    assert job.loop.run()

    assert job.loop.done
    assert job.log.of("released") == [("released", number, 0.0) for number in (1, 2, 3)]
    assert job.log.of("began") == [("began", number) for number in (1, 2, 3)]
    assert (job.orchestrator.state.memory.progress.version, job.loop.released) == (3, 3)


def test_what_was_released_before_counts(tmp_path):
    job = LoopOnALink(tmp_path, FLEET, wanted=1)
    job.loop.released = 1

    assert job.loop.run()
    assert not job.log.lines


def test_contributions_that_come_together_are_verified_together(job):
    job.loop.run()

    assert ("moved", 5, 0) in job.log.lines
    assert ("moved", 1, 0) not in job.log.lines


def test_nothing_is_sent_before_there_is_a_connection(job):
    job.link.connections = 0

    job.turn(3)

    assert not job.others.sent(Kind.PLAN)
    assert isinstance(job.orchestrator.state, NoRound)


def test_a_round_closes_at_its_deadline_with_enough(job):
    job.others.present = set(NAMES[:4])
    began_s = job.clock()

    job.loop.run()

    assert job.log.of("released") == [("released", 1, 0.0)]
    assert 60 <= job.clock() - began_s < 70


def test_a_round_begins_when_enough_are_present(job):
    job.others.there = set(NAMES[1:4])

    job.turn(20)

    assert not job.others.sent(Kind.PLAN)
    assert job.log.of("waits")[-1] == ("waits", 3, 3)
    assert len(job.log.of("waits")) <= 2

    job.others.there = set(NAMES[1:5])
    assert job.loop.run()


def test_a_round_begins_when_a_quorum_of_members_is_present(job):
    job.others.there = set(NAMES) - set(FLEET.parties.committee[:2])

    job.turn(20)

    assert not job.others.sent(Kind.PLAN)
    assert job.log.of("waits")[-1] == ("waits", 4, 2)


def test_no_round_begins_before_it_is_known_what_others_hold(job):
    """Statuses may come before the answer."""
    job.orchestrator._running.state = NoRound(replace(job.orchestrator.state.memory, read_back=False))
    job.link.before_receiving = lambda: job.messenger.unsubscribe(FLEET_NAME, Kind.ROSTER)
    job.loop._connections = 1
    job.orchestrator._hearing.open()

    job.turn(5)
    assert not job.others.sent(Kind.PLAN)
    assert job.orchestrator.attendance.enough

    job.link.before_receiving = lambda: None
    job.link.connections = 2
    assert job.loop.run()


def test_whoever_has_gone_is_not_counted(job):
    job.others.present = set()
    job.begin()
    job.give_up()
    job.others.there = set(NAMES[:3])

    job.turn(30)

    assert job.log.of("aborted")

    assert len(job.others.sent(Kind.PLAN)) == 1


def test_nothing_begins_closes_or_ends_without_a_connection(job):
    """The devices' time is not running either: they cannot send."""
    job.others.present = set(NAMES[:4])
    job.begin()
    job.link.connected = False
    job.turn(500)
    assert isinstance(job.orchestrator.state, Collecting)

    job.link.connected, back_s = True, job.clock()
    assert job.loop.run()

    assert job.log.of("released") == [("released", 1, 0.0)]
    assert job.clock() - back_s >= 50


def test_a_round_with_too_few_waits_for_more(job):
    """Devices have paid for it: it ends when another one comes, however late."""
    job.others.present = set(NAMES[:3])
    job.turn(1000)
    (plan,) = {data for _, data in job.others.sent(Kind.PLAN)}

    latecomer = job.others.messengers[NAMES[3]]
    verified = job.orchestrator.state.terms.verified_plan
    sealed = FLEET.sealed(verified, NAMES[3], FLEET.body(verified, NAMES[3]))
    latecomer.send(Topic(FLEET_NAME, Kind.CONTRIBUTION, device=NAMES[3], number=1, chunk=0), sealed)

    assert job.loop.run()
    assert job.log.of("released") == [("released", 1, 0.0)]
    assert plan == encode_signed(verified.signed)


def test_the_plan_of_a_round_that_waits_is_published_before_it_expires(tmp_path):
    job = LoopOnALink(tmp_path, FLEET)
    job.others.present = set(NAMES[:3])

    job.turn(700)

    assert len(job.others.sent(Kind.PLAN)) == 3


def test_a_round_is_given_up_at_the_operators_word_and_the_next_one_waits_twice_as_long_each_time(tmp_path):
    job = LoopOnALink(tmp_path, FLEET, give_up=4)
    job.others.present = set(NAMES[:2])

    with refused(Refusal.JOB_STALLED, LocalError):
        for _ in range(200):
            if isinstance(job.orchestrator.state, Collecting):
                job.give_up()
            job.turn()

    assert job.log.of("aborted") == [("aborted", number, wait_s) for number, wait_s in ((1, 5), (2, 10), (3, 20), (4, 40))]


def test_a_released_round_forgives_the_aborted_ones(tmp_path):
    job = LoopOnALink(tmp_path, FLEET, wanted=2, give_up=2)
    aborted_one(job)

    assert job.loop.run()
    assert len(job.log.of("aborted")) == 1


def aborted_one(job):
    """One round is given up; everybody is there again for the next."""
    job.others.present = set(NAMES[:2])
    job.begin()
    job.give_up()
    job.turn()
    assert job.log.of("aborted")
    job.others.present = set(NAMES)


def test_the_request_is_sent_again_as_it_is_while_answers_are_missing(job):
    job.others.answering = set()
    job.decrypt()
    job.turn(100)
    requests = [data for _, data in job.others.sent(Kind.REQUEST)]
    job.others.answering = set(FLEET.parties.committee)

    assert job.loop.run()

    assert 3 <= len(requests) <= 6
    assert len(set(requests)) == 1


def test_without_a_quorum_a_round_waits_for_its_committee(job):
    job.others.answering = set(FLEET.parties.committee[:2])
    job.turn(2000)
    assert isinstance(job.orchestrator.state, Decrypting)
    job.others.answering = set(FLEET.parties.committee)

    assert job.loop.run()
    assert job.log.of("released") == [("released", 1, 0.0)]
    assert len(set(job.others.requests)) == 1


def test_a_closed_rounds_plan_is_cleared_before_the_committee_is_asked(job):
    """A device that comes meanwhile must not pay for what cannot count it."""
    job.others.answering = set()
    job.decrypt()

    order = [(parse(one.topic).kind, bool(one.data)) for who, one in job.others.tape if who == "orchestrator"]
    assert order.index((Kind.PLAN, False), order.index((Kind.PLAN, True))) < order.index((Kind.REQUEST, True))


def test_a_new_connection_publishes_everything_again(job):
    job.others.present = set()
    job.begin()
    before = len(job.others.tape)

    job.link.connections = 2
    job.turn()

    again = [(parse(one.topic).kind, bool(one.data)) for who, one in job.others.tape[before:] if who == "orchestrator"]
    assert {(Kind.ROSTER, True), (Kind.MODEL, True), (Kind.PLAN, True)} <= set(again)
    assert (Kind.RECORD, False) in again
    assert job.log.of("connected") == [("connected", 1), ("connected", 2)]


def test_a_roster_in_the_inbox_ends_the_round_and_is_taken_once(job):
    job.others.present = set()
    job.begin()
    newer = FLEET.without(NAMES[5])
    (job.inbox / "2.roster").write_bytes(encode_signed(newer.roster.signed))

    job.turn()

    assert job.orchestrator.state.memory.roster.digest == newer.roster.digest
    assert job.log.of("aborted") == [("aborted", 1, 5.0)]
    assert not list(job.inbox.iterdir())


def test_a_roster_that_is_refused_does_not_come_again(job):
    (job.inbox / "1.roster").write_bytes(b"garbage")
    job.others.present = set()

    job.turn()

    assert job.reports
    assert not list(job.inbox.iterdir())


class Narrow:
    """A link over which only small messages fit."""

    def __init__(self, link) -> None:
        self._link, self.max_bytes = link, 400

    def __getattr__(self, name: str) -> object:
        return getattr(self._link, name)


def test_whoever_sent_a_part_is_told_what_is_missing(job):
    job.others.present = set()
    job.begin()
    name, plan = NAMES[0], job.orchestrator.state.terms.verified_plan
    sealed = FLEET.sealed(plan, name, FLEET.body(plan, name))
    sender = Messenger(Narrow(job.others.messengers[name].link), job.inbox.parent / "narrow")
    topic = Topic(FLEET_NAME, Kind.CONTRIBUTION, device=name, number=1, chunk=0)

    sender.send(topic, sealed, ranges=((0, 1), (2, 3)))
    job.turn(15)

    receipts = [open_receipt(decode_signed(data), FLEET.roster.orchestrator) for _, data in job.others.sent(Kind.RECEIPT)]
    assert {receipt.status for receipt in receipts} == {ReceiptStatus.HELD}
    assert receipts[0].missing[0] == (1, 2)
    assert len(receipts) < 4

    sender.send(topic, sealed, ranges=receipts[0].missing)
    job.turn()
    assert set(job.orchestrator.state.accepted) == {name}


def test_parts_of_something_else_are_not_answered(job):
    job.others.present = set()
    job.begin()
    name, plan = NAMES[0], job.orchestrator.state.terms.verified_plan
    sealed = FLEET.sealed(plan, name, FLEET.body(plan, name))
    sender = Messenger(Narrow(job.others.messengers[name].link), job.inbox.parent / "narrow")

    sender.send(Topic(FLEET_NAME, Kind.CONTRIBUTION, device=name, number=9, chunk=0), sealed, ranges=((0, 1),))
    sender.send(Topic(FLEET_NAME, Kind.PARTIAL, device=name, number=1, chunk=0), sealed, ranges=((0, 1),))
    job.turn(15)

    assert not job.others.sent(Kind.RECEIPT)


def test_transfers_that_nobody_goes_on_with_are_forgotten(tmp_path):
    job = LoopOnALink(tmp_path, FLEET, pace=Pace(forget_s=20))
    job.others.present = set()
    job.begin()
    sender = Messenger(Narrow(job.others.messengers[NAMES[0]].link), job.inbox.parent / "narrow")
    sender.send(Topic(FLEET_NAME, Kind.CONTRIBUTION, device=NAMES[0], number=9, chunk=0), bytes(2000), ranges=((0, 1),))
    job.turn(2)
    assert job.messenger.incomplete()

    job.turn(50)

    assert not job.messenger.incomplete()


def test_what_devices_say_of_themselves_is_kept_in_batches(job):
    job.others.there = set()
    job.others.say(NAMES[:2])

    job.turn(3)
    assert not job.heard
    job.turn(12)

    assert set(job.heard) == set(NAMES[:2])


def test_a_stop_ends_the_loop_after_its_step_and_leaves_the_round_open(job):
    job.others.present = set()
    job.begin()
    job.link.before_receiving = job.loop.stop

    assert not job.loop.run()

    assert isinstance(job.orchestrator.state, Collecting)
    assert set(job.heard) == set(NAMES)


def test_what_cannot_be_sent_is_noted_and_nothing_stops(job, monkeypatch):
    def away(*_: object, **__: object):
        raise LinkError(Refusal.LINK_AWAY, "the broker is away")

    monkeypatch.setattr(job.messenger, "send", away)
    job.begin()

    assert isinstance(job.orchestrator.state, Collecting)
    assert any(isinstance(one, Note) and "broker is away" in one.text for one in job.reports)


def test_a_plan_that_cannot_be_stops_the_job(tmp_path):
    job = LoopOnALink(tmp_path, make_fleet(job={"noise_multiplier": 1e6}))

    with refused(Refusal.PLAN_UNREACHABLE, LocalError):
        job.loop.run()


def test_every_outcome_is_told_once(tmp_path):
    job = LoopOnALink(tmp_path, FLEET, wanted=2)
    aborted_one(job)
    job.loop.run()

    assert [line[:2] for line in job.log.lines if line[0] in {one.value for one in Outcome}] == [
        ("aborted", 1),
        ("released", 2),
        ("released", 3),
    ]


def test_a_round_that_nobody_can_contribute_to_is_explained_once(job):
    job.others.present = set()
    job.turn(3)
    refusing = Readiness(Refusal.MODEL_ABSENT, None, 0, "")
    job.others.say(NAMES, number=1, readiness=refusing)

    job.turn(300)

    ((_, number, text),) = job.log.of("short")
    assert number == 1
    assert text == f"0 of 4: {len(NAMES)} present, none answered: {len(NAMES)} have no model of this name ({NAMES[0]} .. {NAMES[-1]})"


def test_a_round_that_devices_cannot_pay_for_is_not_begun(tmp_path):
    job = LoopOnALink(tmp_path, FLEET)
    job.orchestrator._rho_nano = 1000
    job.others.say(NAMES[:3], readiness=Readiness(None, 999, 0, ""))
    job.others._said = set(job.others.there)
    job.others.say(NAMES[3:], readiness=Readiness(None, 1000, 0, ""))

    job.turn(20)

    assert not job.others.sent(Kind.PLAN)
    assert job.log.of("waits")[-1][1] == len(NAMES) - 3
