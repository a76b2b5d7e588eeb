"""A second scheme, thrown away after the test: whole rounds through the real machines, store, restart and audit, nothing else touched."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from hushfleet.audit import verify_job
from hushfleet.codec import encode
from hushfleet.documents import Outcome, open_record
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.program.archive_folder import read_archive
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.coordinator import Decrypting, NoRound
from hushfleet.rounds.effects import Publish
from hushfleet.rounds.events import (
    AnswerArrived,
    Connected,
    ContributionsArrived,
    DeadlinePassed,
    InboxArrived,
    RequestArrived,
    RoundWanted,
)
from hushfleet.rounds.member import MemberMemory, Ready, Waiting
from hushfleet.rounds.tasks.train import own
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.schemes.members import MEMBER_SCHEMES
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.wire import Inbox, Kind, SharesDelivery, decode_inbox
from tests.support.fleet import Fleet, make_fleet, of, published, raise_refusal, update_of, without_privacy
from tests.support.fleet.machines import Machines
from tests.support.fleet.stores import StoredOrchestrator, new_store
from tests.support.plain_scheme.scheme import NAME, PlainDevice, PlainMember, PlainOrchestrator
from tests.support.refusals import refused
from tests.support.scheme_contract import SchemeContract, with_body


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheme in the three registries, and nowhere else."""
    monkeypatch.setitem(DEVICE_SCHEMES, NAME, PlainDevice())
    monkeypatch.setitem(MEMBER_SCHEMES, NAME, PlainMember())
    monkeypatch.setitem(ORCHESTRATOR_SCHEMES, NAME, PlainOrchestrator())


def make_plain_fleet() -> Fleet:
    return make_fleet(policy={"schemes": (NAME,)}, job={"scheme": NAME})


class TestPlain(SchemeContract):
    scheme = NAME

    def fleet(self) -> Fleet:
        return make_fleet(key=self.key, devices=10, max_devices=8, policy={"schemes": (NAME,)}, job={"scheme": NAME})

    def tampers(self, _: object):
        return {
            "a hash less": (with_body(items=lambda items: items[:-1]), Refusal.CIPHERTEXT_COUNT),
            "a shorter hash": (with_body(items=lambda items: (items[0][1:], *items[1:])), Refusal.CIPHERTEXT_COUNT),
            "a proof": (with_body(proof=b"proof"), Refusal.CIPHERTEXT_COUNT),
        }


def test_a_round_through_the_machines_releases_the_mean_of_the_updates():
    machines = Machines(without_privacy(make_plain_fleet()))
    updates = {name: update_of(name.encode()) for name in machines.fleet.names[:4]}
    machines.start()
    machines.collect({name: machines.contribute(name, update) for name, update in updates.items()})
    _deliver(machines, machines.orchestrate(DeadlinePassed()))
    machines.decrypt()

    model = own(machines.coordinator.state.memory.progress).model
    step = model.parameters - machines.fleet.model.parameters
    np.testing.assert_allclose(step, np.mean(list(updates.values()), axis=0), atol=0.05)


def test_a_member_without_its_shares_waits_for_them_and_then_answers():
    machines = Machines(make_plain_fleet())
    machines.start()
    machines.collect({name: machines.contribute(name, update_of(name.encode())) for name in machines.fleet.names[:4]})
    effects = machines.orchestrate(DeadlinePassed())
    name = machines.fleet.parties.committee[0]
    member = machines.members[name]

    assert not published(machines.take(name, member, RequestArrived(machines.request)), Kind.PARTIAL)
    assert isinstance(member.state, Waiting)
    inbox = [one for one in of(effects, Publish) if one.topic.kind is Kind.INBOX and one.topic.device == name]
    assert published(machines.take(name, member, InboxArrived(inbox[0].data)), Kind.PARTIAL)
    assert isinstance(member.state, Ready)


def shares_out_of_place(right: SharesDelivery) -> list[SharesDelivery]:
    """Deliveries that name the cohort and do not belong to it."""
    return [
        msgspec.structs.replace(right, shares=right.shares[::-1]),
        msgspec.structs.replace(right, shares=right.shares[1:]),
        msgspec.structs.replace(right, shares=(*right.shares, b"one more")),
    ]


@pytest.mark.parametrize("which", range(3), ids=["in another order", "one less", "one more"])
def test_a_delivery_that_does_not_belong_to_the_cohort_leaves_a_waiting_member_as_it_was(which: int):
    machines = Machines(make_plain_fleet())
    machines.start()
    machines.collect({name: machines.contribute(name, update_of(name.encode())) for name in machines.fleet.names[:4]})
    effects = machines.orchestrate(DeadlinePassed())
    name = machines.fleet.parties.committee[0]
    member = machines.members[name]
    right = next(one.data for one in of(effects, Publish) if one.topic.kind is Kind.INBOX and one.topic.device == name)
    machines.take(name, member, RequestArrived(machines.request))
    before = member.state

    wrong = shares_out_of_place(decode_inbox(right).item)[which]
    with refused(Refusal.SHARE_MISMATCH, PeerError):
        raise_refusal(machines.take(name, member, InboxArrived(encode(Inbox(wrong)))))

    assert isinstance(before, Waiting)
    assert member.state == before
    assert published(machines.take(name, member, InboxArrived(right)), Kind.PARTIAL)


def test_a_share_that_is_not_the_one_in_the_body_is_no_answer():
    machines = Machines(make_plain_fleet())
    machines.start()
    machines.collect({name: machines.contribute(name, update_of(name.encode())) for name in machines.fleet.names[:4]})
    effects = machines.orchestrate(DeadlinePassed())
    first, second = machines.fleet.parties.committee[:2]
    others = next(one.data for one in of(effects, Publish) if one.topic.kind is Kind.INBOX and one.topic.device == second)
    machines.take(first, machines.members[first], InboxArrived(others))

    effects = machines.take(first, machines.members[first], RequestArrived(machines.request))

    assert not published(effects, Kind.PARTIAL)
    with refused(Refusal.SHARE_MISMATCH, PeerError):
        raise_refusal(effects)


def test_a_masked_vector_that_is_not_the_one_in_the_body_is_refused():
    fleet = make_plain_fleet()
    plan = fleet.plan()
    machines = Machines(fleet)
    machines.start()
    sealed = machines.contribute("device-01", update_of(b"x"))
    contribution = fleet.unsealed(plan, "device-01", sealed)
    other = fleet.sealed(plan, "device-01", contribution.body, bytes(len(contribution.masked_vector)), contribution.sealed_shares)

    with refused(Refusal.MASKED_VECTOR, PeerError):
        raise_refusal(machines.orchestrate(ContributionsArrived((("device-01", other),))))


def test_store_restart_and_verify(tmp_path: Path):
    """The orchestrator dies after each step of the round; an outsider verifies what it left."""
    fleet = make_plain_fleet()
    new_store(fleet, tmp_path)
    machines, sent = Machines(fleet), []
    _life(fleet, tmp_path, sent, RoundWanted())
    plan = _latest(sent, Kind.PLAN)
    machines.plan = plan
    for name in fleet.names[:4]:
        _life(fleet, tmp_path, sent, ContributionsArrived(((name, machines.contribute(name, update_of(name.encode()))),)))
    _life(fleet, tmp_path, sent, DeadlinePassed())
    sent.clear()
    _life(fleet, tmp_path, sent, Connected())
    answers = {name: _answer(fleet, name, sent) for name in fleet.parties.committee}
    orchestrator = StoredOrchestrator(fleet, tmp_path)
    assert isinstance(orchestrator.state, Decrypting)
    for name, answer in answers.items():
        orchestrator.take(AnswerArrived(name, answer))
    assert isinstance(orchestrator.state, NoRound)
    assert own(orchestrator.state.memory.progress).model.version == 1
    archive = orchestrator.store.archive(orchestrator.store.job()).folder
    orchestrator.store.close()

    report = verify_job(read_archive(archive), fleet.parties.owner.root.verify_key, SystemRandomness(), insecure_keys=True)

    assert report.released == 1
    assert report.rounds[0].devices == 4
    record = open_record(orchestrator.state.memory.record, fleet.roster.orchestrator)
    assert record.outcome is Outcome.RELEASED


def test_an_archived_sum_that_was_altered_is_noticed(tmp_path: Path):
    test_store_restart_and_verify(tmp_path)
    (path,) = tmp_path.glob("archive/*/epoch-*/sum")
    altered = bytearray(path.read_bytes())
    altered[7] ^= 1 << 6
    path.write_bytes(bytes(altered))

    with pytest.raises((PeerError, LocalError)):
        verify_job(read_archive(path.parents[1]), make_plain_fleet().parties.owner.root.verify_key, SystemRandomness(), insecure_keys=True)


def _life(fleet: Fleet, folder: Path, sent: list[Publish], event: object) -> None:
    """One life of the orchestrator: it comes back from its store, takes one event and dies."""
    orchestrator = StoredOrchestrator(fleet, folder, sent.append)
    orchestrator.take(event)
    orchestrator.store.close()


def _latest(sent: list[Publish], kind: Kind) -> bytes:
    return [one.data for one in sent if one.topic.kind is kind][-1]


def _answer(fleet: Fleet, name: str, sent: list[Publish]) -> bytes:
    inbox = next(one.data for one in sent if one.topic.kind is Kind.INBOX and one.topic.device == name)
    state, _ = fleet.member(name).step(Ready(MemberMemory(), fleet.roster), InboxArrived(inbox), SystemRandomness())
    _, effects = fleet.member(name).step(state, RequestArrived(_latest(sent, Kind.REQUEST)), SystemRandomness())
    return published(effects, Kind.PARTIAL)[0]


def _deliver(machines: Machines, effects) -> None:
    for one in of(effects, Publish):
        if one.topic.kind is Kind.INBOX:
            machines.take(one.topic.device, machines.members[one.topic.device], InboxArrived(one.data))
