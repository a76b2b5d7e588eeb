"""The orchestrator at work: link and archive around the coordinator machine."""

from collections.abc import Callable

from hushfleet.link import Arrived, Messenger
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.coordinator import Coordinator, CoordinatorState, Phase
from hushfleet.rounds.effects import Alert, Change, Effect, KeepOutcome, Note, Publish, Refused
from hushfleet.rounds.events import (
    AbortWanted,
    AnswerArrived,
    Connected,
    ContributionsArrived,
    DeadlinePassed,
    RoundWanted,
)
from hushfleet.rounds.running import Running
from hushfleet.wire import Kind
from orchestrator.archive import Archive

Report = Callable[[Note | Alert | Refused], None]


class Orchestrator:
    """Feeds deliveries to the coordinator and carries out its effects. One thread. `now_ms` is a monotonic clock."""

    def __init__(
        self,
        coordinator: Coordinator,
        state: CoordinatorState,
        messenger: Messenger,
        archive: Archive,
        *,
        now_ms: Callable[[], int],
        report: Report = lambda _: None,
    ) -> None:
        self._messenger, self._archive, self._now_ms, self._report = messenger, archive, now_ms, report
        self._running = Running(coordinator, state, self._persist, SystemRandomness())

    @property
    def state(self) -> CoordinatorState:
        """All that is known of the job."""
        return self._running.state

    @property
    def phase(self) -> Phase:
        """Where the round stands."""
        return self.state.phase

    def connect(self) -> None:
        """Subscribe, and publish everything that the broker should retain."""
        for kind in (Kind.CONTRIBUTION, Kind.PARTIAL, Kind.EVIDENCE):
            self._messenger.subscribe(self.state.roster.roster.fleet, kind)
        self._carry_out(self._running.offer(Connected()))

    def start_round(self) -> None:
        """Publish the next plan. Raises `PhaseError` while a round is under way, `LocalError` if no plan can hold the job."""
        effects = self._running.step(RoundWanted(self._now_ms()))
        for effect in effects:
            if isinstance(effect, Refused):
                raise effect.error
        self._carry_out(effects)

    def end_collection(self) -> None:
        """The deadline has passed."""
        self._carry_out(self._running.offer(DeadlinePassed(self._now_ms())))

    def abort(self, reason: str) -> None:
        """Give the round up."""
        self._carry_out(self._running.offer(AbortWanted(reason, self._now_ms())))

    def pump(self) -> int:
        """Handle what has arrived, contributions in one batch; how many messages that was."""
        batch: list[Arrived] = []
        while (arrived := self._messenger.receive(0)) is not None:
            batch.append(arrived)
        contributions = [one for one in batch if one.topic.kind is Kind.CONTRIBUTION and one.topic.device and one.data]
        if contributions:
            event = ContributionsArrived(tuple((one.topic.device or "", one.data) for one in contributions))
            self._carry_out(self._running.offer(event))
        for one in batch:
            if one.topic.kind is Kind.PARTIAL and one.topic.device and one.data:
                self._carry_out(self._running.offer(AnswerArrived(one.topic.device, one.data, self._now_ms())))
        for one in batch:
            self._messenger.acknowledge(one)
        return len(batch)

    def _persist(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            if isinstance(change, KeepOutcome):
                self._archive.store(change.key_epoch, change.round, change.archive)

    def _carry_out(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Publish(topic, data, ranges, clears_bytes):
                    self._messenger.send(topic, data, ranges=ranges, clears_bytes=clears_bytes)
                case Note() | Alert() | Refused():
                    self._report(effect)
