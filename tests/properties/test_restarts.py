"""A device or member that stops anywhere goes on from its store: nothing is charged twice, and what was sent is sent again as it was."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hushfleet.rounds import device, member
from hushfleet.rounds.effects import DoTask, Fetch, Prepare
from hushfleet.rounds.events import (
    Connected,
    ContributionsArrived,
    Fetched,
    GrantArrived,
    PlanArrived,
    Prepared,
    ReceiptArrived,
    RequestArrived,
    RosterArrived,
    RoundWanted,
    TaskDone,
)
from hushfleet.rounds.plan_check import nano_rho
from hushfleet.training import LocalUpdate
from hushfleet.wire import Kind, encode_signed
from tests.support.fleet import make_fleet, of, published, update_of
from tests.support.fleet.machines import Machines
from tests.support.fleet.stores import PowerCut, StoredDevice

FLEET = make_fleet()
ROOT = FLEET.parties.owner.root.verify_key
ROSTER = RosterArrived(encode_signed(FLEET.roster.signed))
COST = nano_rho(FLEET.plan().plan, FLEET.roster)


def durable_device(state: device.DeviceState) -> device.DeviceState:
    """What must come back of a device's state."""
    return state if isinstance(state, device.Unenrolled) else device.Idle(state.memory, state.roster)


def durable_member(state: member.MemberState) -> member.MemberState:
    """What must come back of a member's state."""
    return state if isinstance(state, member.Unenrolled) else member.Ready(state.memory, state.roster, state.share)


def saved_as_it_is(party: StoredDevice) -> bool:
    """True if the store gives back both states, but for the plan, request and shares that are on their way through."""
    device_state, member_state = party.store.device_state(ROOT), party.store.member_state(ROOT)
    return (device_state, member_state) == (durable_device(party.device.state), durable_member(party.member.state))


def live(party: StoredDevice, plan: bytes, model: bytes, request: bytes | None, receipt: bytes | None) -> Iterator[None]:
    """Everything that reaches a device and member in one round, one step at a time, as an agent handles it; retained messages first."""
    party.take(party.device, Connected())
    party.take(party.member, Connected())
    yield
    party.take_roster()
    yield
    party.take(party.member, GrantArrived(FLEET.grants[party.name]))
    yield
    prepare = of(party.take(party.device, PlanArrived(plan)), Prepare)
    yield
    if prepare:
        assert of(party.take(party.device, Prepared(prepare[0].plan_hash)), Fetch)
        yield
        (task,) = of(party.take(party.device, Fetched(model)), DoTask)
        yield
        party.take(party.device, TaskDone(task.plan_hash, LocalUpdate(update_of(party.name.encode()))))
        yield
    for running, event in ((party.member, request and RequestArrived(request)), (party.device, receipt and ReceiptArrived(receipt))):
        if event:
            party.take(running, event)
            yield


@dataclass
class Orchestration:
    """The rest of the fleet: an orchestrator and enough other devices."""

    machines: Machines = field(default_factory=lambda: Machines(FLEET))
    receipts: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.machines.start()
        self.model = self.machines.coordinator.state.memory.progress.result
        self.others = {name: self.machines.contribute(name) for name in FLEET.names[1:5]}

    def receipt(self, sealed: bytes) -> bytes:
        """The one receipt for these bytes; other bytes of this device would be refused."""
        if sealed not in self.receipts:
            self.receipts[sealed] = self.receive(sealed)
        return self.receipts[sealed]

    def receive(self, sealed: bytes) -> bytes:
        return published(self.machines.orchestrate(ContributionsArrived(((FLEET.names[0], sealed),))), Kind.RECEIPT)[0]

    def request(self) -> bytes:
        self.machines.orchestrate(ContributionsArrived(tuple(self.others.items())))
        assert self.machines.request
        return self.machines.request


def whole_round(party: StoredDevice, rest: Orchestration) -> Iterator[None]:
    """First the contribution, then its receipt and the committee's request."""
    yield from live(party, rest.machines.plan, rest.model, None, None)
    (sealed,) = party.bytes_sent(Kind.CONTRIBUTION)
    receipt = rest.receipt(sealed)
    request = rest.machines.request or rest.request()
    yield from live(party, rest.machines.plan, rest.model, request, receipt)


def outcome(party: StoredDevice) -> tuple[object, ...]:
    contributions, answers = party.bytes_sent(Kind.CONTRIBUTION), party.bytes_sent(Kind.PARTIAL)
    here = party.device.state
    phases, answered = (type(here), type(party.member.state)), party.member.state.memory.answered.keys()
    return len(contributions), len(answers), here.memory.ledger, here.memory.sent, phases, answered


def steps_of_an_undisturbed_round(folder: Path) -> tuple[int, int, tuple[object, ...]]:
    party = StoredDevice(FLEET, FLEET.names[0], folder)
    steps = sum(1 for _ in whole_round(party, Orchestration()))
    return steps, party.transactions, outcome(party)


STEPS, TRANSACTIONS = 13, 6


def test_the_undisturbed_round_has_the_steps_that_the_others_are_cut_at(tmp_path):
    steps, transactions, (contributions, answers, ledger, sent, phases, _) = steps_of_an_undisturbed_round(tmp_path / "whole")

    assert (steps, transactions) == (STEPS, TRANSACTIONS)
    assert (contributions, answers, sent, phases) == (1, 1, None, (device.Idle, member.Ready))
    assert ledger.spent_nano == COST


def test_after_every_step_the_store_holds_the_state(tmp_path):
    party = StoredDevice(FLEET, FLEET.names[0], tmp_path / "device")
    for _ in whole_round(party, Orchestration()):
        assert saved_as_it_is(party)


@pytest.mark.parametrize("cut", range(1, STEPS + 1))
def test_a_restart_after_any_step_comes_to_the_same_outcome(tmp_path, cut):
    *_, expected = steps_of_an_undisturbed_round(tmp_path / "whole")
    party, rest = StoredDevice(FLEET, FLEET.names[0], tmp_path / "device"), Orchestration()

    for number, _ in enumerate(whole_round(party, rest), start=1):
        if number == cut:
            break
    party.restart()
    for _ in whole_round(party, rest):
        pass

    assert outcome(party) == expected
    assert isinstance(party.member.state, member.Ready)


@pytest.mark.parametrize("before_commit", [True, False], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("cut", range(1, TRANSACTIONS + 1))
def test_a_power_cut_at_any_transaction_charges_once_and_resends_the_same_bytes(tmp_path, cut, before_commit):
    *_, expected = steps_of_an_undisturbed_round(tmp_path / "whole")
    party, rest = StoredDevice(FLEET, FLEET.names[0], tmp_path / "device", cut, before_commit), Orchestration()

    with pytest.raises(PowerCut):
        for _ in whole_round(party, rest):
            pass
    sent_before_the_cut = set(party.sent)
    party.restart()
    assert {data for _, data in sent_before_the_cut} <= {one for _, one in party.sent}
    for _ in whole_round(party, rest):
        pass

    assert outcome(party) == expected
    assert party.device.state.memory.ledger.spent_nano == COST


def test_a_restart_forgets_a_plan_under_way_but_not_that_it_was_seen(tmp_path):
    machines = Machines(FLEET)
    machines.orchestrate(RoundWanted())
    party = StoredDevice(FLEET, FLEET.names[0], tmp_path / "device")
    party.take(party.device, ROSTER)
    party.take(party.device, PlanArrived(encode_signed(FLEET.plan(4).signed)))
    assert isinstance(party.device.state, device.Preparing)

    party.restart()

    assert (type(party.device.state), party.device.state.memory.seen) == (device.Idle, {FLEET.roster.key_id: 4})
    assert not of(party.take(party.device, PlanArrived(encode_signed(FLEET.plan(3).signed))), Prepare)
