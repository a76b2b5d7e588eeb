"""An orchestrator's machine around a real store; the test speaks for devices and members."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hushfleet.codec import encode
from hushfleet.errors import LocalError
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.coordinator import Collecting, CoordinatorState, Decrypting
from hushfleet.rounds.effects import Change, Effect, Publish
from hushfleet.rounds.events import AbortWanted, AnswerArrived, Connected, ContributionsArrived, DeadlinePassed, RequestArrived, RoundWanted
from hushfleet.rounds.machine import Running
from hushfleet.wire import Kind
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
