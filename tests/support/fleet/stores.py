"""Machines around their real stores, to be stopped anywhere and started again; the test speaks for everybody else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.store import Store as DeviceStore
from hushfleet.codec import encode
from hushfleet.errors import LocalError
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.coordinator import Collecting, CoordinatorState, Decrypting
from hushfleet.rounds.effects import Change, Effect, Publish
from hushfleet.rounds.events import (
    AbortWanted,
    AnswerArrived,
    Connected,
    ContributionsArrived,
    DeadlinePassed,
    RequestArrived,
    RosterArrived,
    RoundWanted,
)
from hushfleet.rounds.machine import Running, together
from hushfleet.wire import Kind, encode_signed
from orchestrator.store.restore import coordinator_state
from orchestrator.store.store import Store
from tests.support.fleet import Fleet, of, published


def new_store(fleet: Fleet, folder: Path) -> None:
    """A store with the fleet's roster and a job that begins with its model."""
    store = Store.create(folder, fleet.roster)
    store.begin_job("tiny", b"tiny", "", fleet.progress)
    store.close()


@dataclass
class StoredOrchestrator:
    """One life of an orchestrator. `sent` is told of everything that leaves, in order; `persist` stands between machine and store."""

    fleet: Fleet
    folder: Path
    sent: Callable[[Publish], None] = lambda _: None
    persist: Callable[[Store, tuple[Change, ...]], None] = Store.persist
    store: Store = field(init=False)
    running: Running[CoordinatorState] = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.folder, self.fleet.parties.owner.root.verify_key)
        machine = self.fleet.coordinator()
        try:
            state = coordinator_state(self.store, machine, now_ms=0, now_s=0)
        except LocalError:
            self.store.close()
            raise
        self.running = Running(machine, state, lambda changes: self.persist(self.store, changes), SystemRandomness())

    @property
    def state(self) -> CoordinatorState:
        return self.running.state

    def take(self, event: object) -> tuple[Effect, ...]:
        effects = self.running.offer(event)
        for effect in of(effects, Publish):
            self.sent(effect)
        return effects

    def go_on(self, sealed: Mapping[str, bytes], number: int = 1) -> None:
        """Whatever is left of this round: start, collect (every device sends again), close, answer."""
        self.take(Connected())
        if self.state.memory.last_round.get(self.fleet.roster.key_id, 0) < number:
            self.take(RoundWanted())
        for name, data in sealed.items():
            self.take(ContributionsArrived(((name, data),)))
        if isinstance(self.state, Collecting):
            self.take(DeadlinePassed())
        if isinstance(self.state, Collecting):
            self.take(AbortWanted("the operator's word"))
        for name in self.fleet.parties.committee:
            if isinstance(self.state, Decrypting):
                self.take(AnswerArrived(name, self.answer(name)))
        for name, data in sealed.items():
            self.take(ContributionsArrived(((name, data),)))

    def answer(self, name: str) -> bytes:
        """What this member sends for the request that is out."""
        assert isinstance(self.state, Decrypting)
        request = RequestArrived(encode(self.state.request))
        _, effects = self.fleet.member(name).step(self.fleet.member_state(name), request, SystemRandomness())
        return published(effects, Kind.PARTIAL)[0]


class PowerCut(Exception):
    """The machine stopped here."""


@dataclass
class StoredDevice:
    """A device that is also a member, each machine around one store. `cut_after` counts the transactions until the power goes."""

    fleet: Fleet
    name: str
    folder: Path
    cut_after: int | None = None
    before_commit: bool = False
    transactions: int = 0
    sent: list[tuple[Kind, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.store = DeviceStore.create(self.folder)
        self.start()

    def start(self) -> None:
        """What a daemon does when it comes up."""
        self.device = self.running(self.fleet.device(self.name), self.store.device_state(self.fleet.parties.owner.root.verify_key))
        self.member = self.running(self.fleet.member(self.name), self.store.member_state(self.fleet.parties.owner.root.verify_key))

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
        self.store = DeviceStore(self.folder)
        self.start()

    def take(self, running: Running[Any], event: object) -> tuple[Effect, ...]:
        """One step. Publications count as sent only once the step is over."""
        return self.publish(running.offer(event))

    def take_roster(self) -> None:
        """One step of both machines."""
        self.publish(together((self.device, self.member), RosterArrived(encode_signed(self.fleet.roster.signed))))

    def publish(self, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
        self.sent += [(effect.topic.kind, effect.data) for effect in of(effects, Publish)]
        return effects

    def bytes_sent(self, kind: Kind) -> set[bytes]:
        return {data for sent, data in self.sent if sent is kind}
