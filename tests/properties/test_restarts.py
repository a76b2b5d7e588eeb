"""A device or member that stops anywhere goes on from its store: nothing is charged twice, and what was sent is sent again as it was."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_agent.store import Store
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds import device, member
from hushfleet.rounds.effects import Change, DoTask, Effect, Fetch, Prepare, Publish
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
from hushfleet.rounds.machine import Running, together
from hushfleet.rounds.plan_check import nano_rho
from hushfleet.training import LocalUpdate
from hushfleet.wire import Kind, encode_signed
from tests.support.fleet import make_fleet, of, published, update_of
from tests.support.fleet.machines import Machines

FLEET = make_fleet()
ROOT = FLEET.parties.owner.root.verify_key
ROSTER = RosterArrived(encode_signed(FLEET.roster.signed))
COST = nano_rho(FLEET.plan().plan, FLEET.roster)


class PowerCut(Exception):
    """The machine stopped here."""


@dataclass
class Stored:
    """A device that is also a member, each machine around one store. `cut_after` counts the transactions until the power goes."""

    name: str
    folder: Path
    cut_after: int | None = None
    before_commit: bool = False
    transactions: int = 0
    sent: list[tuple[Kind, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.store = Store.create(self.folder)
        self.start()

    def start(self) -> None:
        """What a daemon does when it comes up."""
        self.device = self.running(FLEET.device(self.name), self.store.device_state(ROOT))
        self.member = self.running(FLEET.member(self.name), self.store.member_state(ROOT))

    def running(self, machine: object, state: object) -> Running[Any]:
        return Running(machine, state, self.persist, SystemRandomness())

    def persist(self, changes: tuple[Change, ...]) -> None:
        self.transactions += 1
        cut = self.transactions == self.cut_after
        if cut and self.before_commit:
            raise PowerCut
        self.store.persist(changes)
        if cut:
            raise PowerCut

    def restart(self) -> None:
        self.store.close()
        self.store = Store(self.folder)
        self.start()

    def take(self, running: Running[Any], event: object) -> tuple[Effect, ...]:
        """One step. Publications count as sent only once the step is over."""
        return self.publish(running.offer(event))

    def take_roster(self) -> None:
        """One step of both machines."""
        self.publish(together((self.device, self.member), ROSTER))

    def publish(self, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
        self.sent += [(effect.topic.kind, effect.data) for effect in of(effects, Publish)]
        return effects

    def bytes_sent(self, kind: Kind) -> set[bytes]:
        return {data for sent, data in self.sent if sent is kind}

    def saved_as_it_is(self) -> bool:
        """Whether the store gives back both states, but for the plan, request and shares that are on their way through."""
        device_state, member_state = self.store.device_state(ROOT), self.store.member_state(ROOT)
        return (device_state, member_state) == (durable_device(self.device.state), durable_member(self.member.state))


def durable_device(state: device.DeviceState) -> device.DeviceState:
    """What must come back of a device's state."""
    return state if isinstance(state, device.Unenrolled) else device.Idle(state.memory, state.roster)


def durable_member(state: member.MemberState) -> member.MemberState:
    """What must come back of a member's state."""
    return state if isinstance(state, member.Unenrolled) else member.Ready(state.memory, state.roster, state.share)


def live(party: Stored, plan: bytes, model: bytes, request: bytes | None, receipt: bytes | None) -> Iterator[None]:
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


def whole_round(party: Stored, rest: Orchestration) -> Iterator[None]:
    """First the contribution, then its receipt and the committee's request."""
    yield from live(party, rest.machines.plan, rest.model, None, None)
    (sealed,) = party.bytes_sent(Kind.CONTRIBUTION)
    receipt = rest.receipt(sealed)
    request = rest.machines.request or rest.request()
    yield from live(party, rest.machines.plan, rest.model, request, receipt)


def outcome(party: Stored) -> tuple[object, ...]:
    contributions, answers = party.bytes_sent(Kind.CONTRIBUTION), party.bytes_sent(Kind.PARTIAL)
    here = party.device.state
    phases, answered = (type(here), type(party.member.state)), party.member.state.memory.answered.keys()
    return len(contributions), len(answers), here.memory.ledger, here.memory.sent, phases, answered


def steps_of_an_undisturbed_round(folder: Path) -> tuple[int, int, tuple[object, ...]]:
    party = Stored(FLEET.names[0], folder)
    steps = sum(1 for _ in whole_round(party, Orchestration()))
    return steps, party.transactions, outcome(party)


STEPS, TRANSACTIONS = 13, 6


def test_the_undisturbed_round_has_the_steps_that_the_others_are_cut_at(tmp_path):
    steps, transactions, (contributions, answers, ledger, sent, phases, _) = steps_of_an_undisturbed_round(tmp_path / "whole")

    assert (steps, transactions) == (STEPS, TRANSACTIONS)
    assert (contributions, answers, sent, phases) == (1, 1, None, (device.Idle, member.Ready))
    assert ledger.spent_nano == COST


def test_after_every_step_the_store_holds_the_state(tmp_path):
    party = Stored(FLEET.names[0], tmp_path / "device")
    for _ in whole_round(party, Orchestration()):
        assert party.saved_as_it_is()


@pytest.mark.parametrize("cut", range(1, STEPS + 1))
def test_a_restart_after_any_step_comes_to_the_same_outcome(tmp_path, cut):
    *_, expected = steps_of_an_undisturbed_round(tmp_path / "whole")
    party, rest = Stored(FLEET.names[0], tmp_path / "device"), Orchestration()

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
    party, rest = Stored(FLEET.names[0], tmp_path / "device", cut, before_commit), Orchestration()

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
    party = Stored(FLEET.names[0], tmp_path / "device")
    party.take(party.device, ROSTER)
    party.take(party.device, PlanArrived(encode_signed(FLEET.plan(4).signed)))
    assert isinstance(party.device.state, device.Preparing)

    party.restart()

    assert (type(party.device.state), party.device.state.memory.seen) == (device.Idle, {FLEET.roster.key_id: 4})
    assert not of(party.take(party.device, PlanArrived(encode_signed(FLEET.plan(3).signed))), Prepare)
