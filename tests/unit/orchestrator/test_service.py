import errno

import pytest

from hushfleet.audit import verify_job
from hushfleet.codec import encode
from hushfleet.documents import ReceiptStatus, open_receipt
from hushfleet.errors import LocalError, PeerError, PhaseError, Refusal
from hushfleet.labels import sha256
from hushfleet.program.archive_folder import read_archive
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.coordinator import Collecting, Decrypting, NoRound
from hushfleet.rounds.effects import Note, Refused
from hushfleet.rounds.tasks.train import own
from hushfleet.wire import Kind, Topic, decode_signed
from orchestrator.service import HEARD
from orchestrator.store.archive_folder import Archive
from tests.support.fleet import make_fleet
from tests.support.fleet.orchestrator import OrchestratorOnALink
from tests.support.refusals import refused

FLEET = make_fleet()
NAMES = FLEET.names
FLEET_NAME = FLEET.roster.roster.fleet


@pytest.fixture
def service(tmp_path):
    return connected(tmp_path)


def connected(folder, fleet=FLEET):
    service = OrchestratorOnALink(folder, fleet)
    service.orchestrator.connect()
    return service


class Diary:
    """The order in which a service stores and acknowledges; while `broken`, nothing can be stored."""

    def __init__(self, service, monkeypatch) -> None:
        self.lines, self.broken = [], False
        keep, acknowledge = service.archive.persist, service.messenger.acknowledge
        service.orchestrator._running._persist = lambda changes: self.store(keep, changes)
        monkeypatch.setattr(service.messenger, "acknowledge", lambda one: (self.lines.append(one.topic.kind), acknowledge(one)))

    def store(self, keep, changes):
        if self.broken:
            raise OSError(errno.ENOSPC, "no space left on device")
        self.lines.append("stored")
        keep(changes)


class TestAcknowledged:
    """What is acknowledged to the broker was stored or refused: for every kind of message that the orchestrator hears."""

    STORED = frozenset({Kind.CONTRIBUTION, Kind.PARTIAL})
    """Kinds whose messages are needed after a restart."""
    KEPT_ELSEWHERE = frozenset({kind for kind in HEARD if kind.retained} | {Kind.EVIDENCE, Kind.COMPLAINT})
    """Retained ones come again with every connection; the others are told at once, and nothing rests on them here."""

    def ready(self, service, kind):
        """A service for which a valid message of `kind` is on its way."""
        service.orchestrator.start_round()
        if kind is Kind.CONTRIBUTION:
            service.others.contribute(service.plan, NAMES[0])
            return
        service.contribute(*NAMES[:4])
        service.orchestrator.end_collection()
        service.others.answer(encode(service.state.request), service.plan.plan.round, NAMES[0])

    def test_every_kind_has_its_place(self):
        assert set(HEARD) == self.STORED | self.KEPT_ELSEWHERE
        assert not self.STORED & self.KEPT_ELSEWHERE

    @pytest.mark.parametrize("kind", sorted(STORED, key=str), ids=str)
    def test_it_is_stored_first(self, service, monkeypatch, kind):
        self.ready(service, kind)
        diary = Diary(service, monkeypatch)

        service.orchestrator.pump()

        assert diary.lines == ["stored", kind]

    @pytest.mark.parametrize("kind", sorted(STORED, key=str), ids=str)
    def test_what_cannot_be_stored_is_not_acknowledged_and_changes_nothing(self, service, monkeypatch, kind):
        self.ready(service, kind)
        diary, before = Diary(service, monkeypatch), service.state
        diary.broken = True

        with pytest.raises(OSError, match="no space"):
            service.orchestrator.pump()

        assert diary.lines == []
        assert service.state is before

    @pytest.mark.parametrize("kind", sorted(HEARD, key=str), ids=str)
    def test_garbage_is_refused_and_acknowledged(self, service, monkeypatch, kind):
        self.ready(service, Kind.PARTIAL)
        service.orchestrator.pump()
        diary = Diary(service, monkeypatch)
        diary.broken = True
        numbered = {"number": service.plan.plan.round} if "{number}" in kind.pattern else {}
        chunked = {"chunk": 0} if "{chunk}" in kind.pattern else {}

        service.others.messengers[NAMES[0]].send(Topic(FLEET_NAME, kind, device=NAMES[0], **numbered, **chunked), b"garbage")
        service.orchestrator.pump()

        assert diary.lines == [kind]


def test_a_round_from_its_plan_to_its_archive(service):
    service.orchestrator.start_round()
    assert service.contribute(*NAMES[:4]) == 4
    service.orchestrator.end_collection()
    assert service.answer(*NAMES[:3]) == 3

    assert (type(service.orchestrator.state), service.orchestrator.state.memory.progress.version) == (NoRound, 1)
    rounds = read_archive(service.archive.folder)
    report = verify_job(rounds, FLEET.parties.owner.root.verify_key, SystemRandomness(), insecure_keys=True)
    assert report.result_digest == own(service.orchestrator.state.memory.progress).model.digest
    assert not service.reports


def test_a_contribution_that_outlived_its_round_is_told_so_while_the_next_one_collects(service):
    """Else its device would send it again with every connection."""
    service.orchestrator.start_round()
    plan = service.orchestrator.state.terms.verified_plan
    service.orchestrator.abort("enough")
    service.orchestrator.start_round()
    service.reports.clear()
    late = FLEET.sealed(plan, NAMES[0], FLEET.body(plan, NAMES[0]))
    service.others.messengers[NAMES[0]].subscribe(FLEET_NAME, Kind.RECEIPT, device=NAMES[0])

    for number in (1, 0, 7):  # its own round, and two that never were
        service.others.send(NAMES[0], Kind.CONTRIBUTION, late, number)
    service.orchestrator.pump()

    told = []
    while (arrived := service.others.messengers[NAMES[0]].receive()) is not None:
        told += [open_receipt(decode_signed(arrived.data), FLEET.roster.orchestrator)] if arrived.topic.kind is Kind.RECEIPT else []
    assert [(one.round, one.whole_hash, one.status, one.reason) for one in told] == [
        (1, sha256(late), ReceiptStatus.REFUSED, Refusal.CONTRIBUTION_LATE.value)
    ]
    assert not service.reports


def test_connecting_publishes_what_the_broker_should_retain(service):
    assert service.retained(Kind.MODEL) == [FLEET.model.to_bytes()]
    assert len(service.retained(Kind.ROSTER)) == 1
    assert service.retained(Kind.PLAN) == []


def test_a_closed_rounds_plan_is_no_longer_retained(service):
    service.orchestrator.start_round()
    assert len(service.retained(Kind.PLAN)) == 1

    service.orchestrator.abort("enough")

    assert service.retained(Kind.PLAN) == []
    assert len(service.retained(Kind.RECORD)) == 1


def test_a_round_under_way_is_not_started_twice(service):
    service.orchestrator.start_round()
    with refused(Refusal.PHASE, PhaseError):
        service.orchestrator.start_round()


def test_a_job_that_no_plan_can_hold_says_so_at_once(tmp_path):
    service = connected(tmp_path, make_fleet(job={"noise_multiplier": 1e6}))
    with refused(Refusal.PLAN_UNREACHABLE, LocalError):
        service.orchestrator.start_round()


def test_contributions_that_arrived_together_are_one_batch(service):
    service.orchestrator.start_round()
    service.contribute(*NAMES[:3])

    assert len(service.orchestrator.state.accepted) == 3


def test_refused_contributions_are_reported_and_the_others_count(service):
    service.orchestrator.start_round()
    service.others.send(NAMES[4], Kind.CONTRIBUTION, b"garbage")
    service.contribute(NAMES[0])

    assert set(service.orchestrator.state.accepted) == {NAMES[0]}
    with refused(Refusal.SEAL, PeerError):
        raise next(report.error for report in service.reports if isinstance(report, Refused))


def test_what_comes_at_the_wrong_time_leaves_a_note(service):
    service.others.send(NAMES[0], Kind.CONTRIBUTION, b"early")
    service.others.send(NAMES[0], Kind.PARTIAL, b"early")
    service.orchestrator.pump()
    service.orchestrator.end_collection()
    service.orchestrator.abort("nothing under way")

    assert [type(report) for report in service.reports] == [Note] * 3


def test_empty_messages_are_none(service):
    service.orchestrator.start_round()
    service.others.send(NAMES[0], Kind.CONTRIBUTION, b"")

    service.orchestrator.pump()

    assert (type(service.orchestrator.state), service.orchestrator.state.accepted, service.reports) == (Collecting, {}, [])


def test_a_round_that_cannot_be_archived_is_not_over(service, monkeypatch):
    service.orchestrator.start_round()
    service.contribute(*NAMES[:4])
    service.orchestrator.end_collection()

    def full(*_: object):
        raise OSError("the disk is full")

    monkeypatch.setattr(Archive, "store", full)
    with pytest.raises(OSError, match="disk is full"):
        service.answer(*NAMES[:3])
    assert (type(service.orchestrator.state), service.orchestrator.state.memory.progress.version) == (Decrypting, 0)
    assert service.retained(Kind.MODEL) == [FLEET.model.to_bytes()]

    monkeypatch.undo()
    service.answer(NAMES[3])
    assert service.orchestrator.state.memory.progress.version == 1


def test_too_few_contributions_at_the_deadline_wait_until_the_operator_gives_up(service):
    service.orchestrator.start_round()
    service.contribute(*NAMES[:3])
    service.orchestrator.end_collection()
    assert isinstance(service.orchestrator.state, Collecting)

    service.orchestrator.abort("the fourth is gone for good")

    assert isinstance(service.orchestrator.state, NoRound)
    (files,) = read_archive(service.archive.folder)
    assert "request" not in files


def test_an_orchestrator_that_replaces_another_begins_above_what_devices_saw_and_finishes_a_round(service):
    """Else devices and members refuse every plan of it as one of a round long past."""
    service.others.say(NAMES, number=7)
    service.orchestrator.pump()

    service.orchestrator.start_round()

    assert service.plan.plan.round == 8
    assert service.contribute(*NAMES[:4]) == 4
    service.orchestrator.end_collection()
    service.answer(*NAMES[:3])
    assert service.orchestrator.state.memory.progress.version == 1


def test_a_device_that_lies_about_the_rounds_it_saw_takes_no_number_away(service):
    service.others.say(NAMES[:1], number=(1 << 63) - 1)
    service.orchestrator.pump()

    service.orchestrator.start_round()

    assert service.plan.plan.round == 1
