"""The loop of a job: rounds until enough are released, whatever the broker, the devices and the power do meanwhile.

Safety never rests on time here; deadlines and repetitions use a monotonic clock and concern liveness only.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hushfleet.codec import decode
from hushfleet.documents import Outcome, RoundRecord
from hushfleet.documents.limits import MAX_RECORD_BYTES
from hushfleet.errors import LocalError, Refusal
from hushfleet.link import Messenger
from hushfleet.link.transfers import Incomplete
from hushfleet.rounds.coordinator import Collecting, CoordinatorState, Decrypting, NoRound
from hushfleet.rounds.effects import Publish
from orchestrator.service import Orchestrator


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between what the loop repeats."""

    wait_s: float = 1.0
    """The longest wait for a message in one step."""
    next_message_s: float = 0.05
    """The wait for each further message, so that proofs are verified together."""
    ask_again_s: float = 15.0
    """Between two sendings of a request; doubles up to eight times as long."""
    least_answer_s: float = 120.0
    """The committee has at least this long, or the plan's deadline."""
    report_missing_s: float = 10.0
    """Before the first receipt that names the missing chunks of a transfer, and between two of them."""
    forget_s: float = 3600.0
    """The time without a chunk after which a transfer is given up."""
    backoff_s: float = 5.0
    """After an aborted round; doubles up to `most_backoff_s`."""
    most_backoff_s: float = 300.0
    keep_statuses_s: float = 10.0
    """Between two writings of the devices' statuses to the store."""


class Watcher(Protocol):
    """A listener to the job; `orchestrator.screen.Screen` is one."""

    def connected(self, connections: int) -> None:
        """Called at every connection, with the number of connections so far."""

    def began(self, state: Collecting | Decrypting) -> None:
        """A round was begun, or is gone on with."""

    def moved(self, state: Collecting | Decrypting) -> None:
        """Something arrived for the round."""

    def ended(self, record: RoundRecord, state: CoordinatorState, wait_s: float) -> None:
        """A round is over; the next one begins in `wait_s` at the earliest."""


class Memory(Protocol):
    """The store of the devices' statuses."""

    def hear(self, statuses: Mapping[str, bytes]) -> None:
        """Keep what devices said of themselves."""


class Loop:
    """One job's loop. `released` rounds were released before; it ends at `wanted`.

    `pending_rosters` lists files with rosters; each is removed once it was taken. `stale_topics` are published at every connection: what an
    earlier life of this orchestrator may have left behind. After `give_up` aborted rounds in a row it stops.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        messenger: Messenger,
        memory: Memory,
        watcher: Watcher,
        *,
        released: int,
        wanted: int,
        now_s: Callable[[], float],
        pending_rosters: Callable[[], tuple[Path, ...]] = tuple,
        stale_topics: Callable[[], tuple[Publish, ...]] = tuple,
        turned: Callable[[], None] = lambda: None,
        pace: Pace | None = None,
        give_up: int = 20,
    ) -> None:
        self._orchestrator, self._messenger, self._memory, self._watcher = orchestrator, messenger, memory, watcher
        self._now_s, self._pending_rosters, self._stale_topics, self._turned = now_s, pending_rosters, stale_topics, turned
        self._pace, self._give_up = pace or Pace(), give_up
        self.released, self._wanted = released, wanted
        self._aborted = 0
        self._connections = 0
        self._next_round_s = self._heard_s = self._forgot_s = now_s()
        self._phase: type[CoordinatorState] = NoRound
        self._phase_s = self._asked_s = now_s()
        self._asked = 0
        self._arrived = (0, 0)
        self._told: dict[bytes, float] = {}
        self._stopping = threading.Event()

    @property
    def done(self) -> bool:
        """Whether enough rounds were released, and none is open."""
        return self.released >= self._wanted and isinstance(self._orchestrator.state, NoRound)

    def stop(self) -> None:
        """Make `run` return after the step that is under way. For signal handlers and other threads."""
        self._stopping.set()

    def run(self) -> bool:
        """Work until the job is done or `stop`. True if it is done. Raises what stops a job: storing, or a plan that cannot be.

        `LocalError(JOB_STALLED)`: too many rounds in a row were aborted.
        """
        while not self.done and not self._stopping.is_set():
            self.turn()
        self._hear()
        return self.done

    def turn(self) -> None:
        """Do one step: connection, rosters, deadlines, missing chunks, the next round, and what arrives meanwhile."""
        self._reconnect()
        self._take_rosters()
        self._follow(self._orchestrator.state)
        if self._connections:
            self._push()
        before = self._orchestrator.state
        self._orchestrator.pump(self._pace.wait_s, next_message_s=self._pace.next_message_s)
        self._follow(before)
        self._keep_house()
        self._turned()

    def _reconnect(self) -> None:
        connections = self._messenger.link.connections
        if connections > self._connections:
            self._connections = connections
            self._orchestrator.send(self._stale_topics())
            self._orchestrator.connect()
            self._watcher.connected(connections)

    def _take_rosters(self) -> None:
        for path in self._pending_rosters():
            before = self._orchestrator.state
            self._orchestrator.take_roster(path.read_bytes())
            path.unlink()
            self._follow(before)

    def _push(self) -> None:
        """Do what is due in this phase."""
        now_s, before = self._now_s(), self._orchestrator.state
        match before:
            case NoRound():
                if self.released < self._wanted and now_s >= self._next_round_s:
                    self._orchestrator.start_round()
            case Collecting():
                if now_s - self._phase_s >= before.terms.plan.deadline_s:
                    self._orchestrator.end_collection()
                else:
                    self._tell_missing(now_s)
            case Decrypting():
                if now_s - self._phase_s >= max(self._pace.least_answer_s, before.terms.plan.deadline_s):
                    self._orchestrator.end_collection()
                elif now_s - self._asked_s >= self._pace.ask_again_s * 2 ** min(3, self._asked):
                    self._asked_s, self._asked = now_s, self._asked + 1
                    self._orchestrator.ask_again()
        self._follow(before)

    def _tell_missing(self, now_s: float) -> None:
        for transfer in self._messenger.incomplete():
            due_s = self._told.get(transfer.whole_hash, now_s - transfer.idle_s) + self._pace.report_missing_s
            if transfer.idle_s >= self._pace.report_missing_s and now_s >= due_s and self._tell(transfer):
                self._told[transfer.whole_hash] = now_s

    def _tell(self, transfer: Incomplete) -> bool:
        return self._orchestrator.tell_missing(transfer)

    def _follow(self, before: CoordinatorState) -> None:
        """Note what changed since `before`: a round that ended, a phase that began."""
        state = self._orchestrator.state
        if state.memory.record is not None and state.memory.record is not before.memory.record:
            self._count(state)
        if type(state) is not self._phase:
            self._phase, self._phase_s = type(state), self._now_s()
            self._asked_s, self._asked = self._phase_s, 0
            self._told.clear()
            if isinstance(state, Collecting) or (isinstance(state, Decrypting) and isinstance(before, NoRound)):
                self._watcher.began(state)
        arrived = self._orchestrator.arrived
        if not isinstance(state, NoRound) and (arrived != self._arrived or type(state) is not type(before)):
            self._arrived = arrived
            self._watcher.moved(state)

    def _count(self, state: CoordinatorState) -> None:
        record = _record(state)
        wait_s = 0.0
        if record.outcome is Outcome.RELEASED:
            self.released, self._aborted = self.released + 1, 0
        else:
            self._aborted += 1
            wait_s = min(self._pace.most_backoff_s, self._pace.backoff_s * 2 ** (self._aborted - 1))
        self._next_round_s = self._now_s() + wait_s
        self._watcher.ended(record, state, wait_s)
        if self._aborted >= self._give_up:
            raise LocalError(
                Refusal.JOB_STALLED,
                f"{self._aborted} rounds in a row were aborted, the last one: {record.reason}",
                next_step="hushfleet orchestrator devices shows who is there; run the job again to go on.",
            )

    def _keep_house(self) -> None:
        now_s = self._now_s()
        if now_s - self._heard_s >= self._pace.keep_statuses_s:
            self._heard_s = now_s
            self._hear()
        if now_s - self._forgot_s >= self._pace.forget_s:
            self._forgot_s = now_s
            self._messenger.forget_idle(self._pace.forget_s)

    def _hear(self) -> None:
        if statuses := self._orchestrator.take_statuses():
            self._memory.hear(statuses)


def _record(state: CoordinatorState) -> RoundRecord:
    """The latest record, which this side signed."""
    record = state.memory.record
    if record is None:
        raise LocalError(Refusal.PHASE, "no round has ended")
    return decode(RoundRecord, record.content, max_bytes=MAX_RECORD_BYTES)
