"""The loop of a job: rounds until enough are released, whatever the broker, the devices and the power do meanwhile.

Safety never rests on time here; deadlines and repetitions use a monotonic clock and concern liveness only. Nobody pays for nothing: a
round begins over a live connection and with enough present, its clock stands still while there is no connection, and it does not
end for lack of time.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hushfleet.codec import decode
from hushfleet.documents import Outcome, RoundRecord
from hushfleet.documents.limits import MAX_RECORD_BYTES
from hushfleet.errors import LocalError, Refusal
from hushfleet.link import Messenger
from hushfleet.rounds.coordinator import Collecting, CoordinatorState, Decrypting, NoRound
from hushfleet.rounds.effects import Publish
from hushfleet.typed import typed
from orchestrator.absence import Absence
from orchestrator.attendance import Attendance
from orchestrator.service import Orchestrator, expiry_s


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between what the loop repeats."""

    wait_s: float = 1.0
    """The longest wait for a message in one step."""
    next_message_s: float = 0.05
    """The wait for each further message, so that proofs are verified together."""
    ask_again_s: float = 15.0
    """Between two sendings of a request; doubles up to eight times as long."""
    report_missing_s: float = 10.0
    """Between two receipts that name the missing chunks of a transfer, and before the first one."""
    settle_s: float = 2.0
    """After a start the statuses that the broker retains come in: before that nobody is told who is missing."""
    forget_s: float = 3600.0
    """The age at which an idle transfer is given up."""
    backoff_s: float = 5.0
    """After an aborted round; doubles up to `most_backoff_s`."""
    most_backoff_s: float = 300.0
    keep_statuses_s: float = 10.0
    """Between two writings of the devices' statuses to the store."""


@dataclass(frozen=True, slots=True)
class Goal:
    """The rounds of a job: `released` of `wanted` were released before. After `give_up` aborted rounds in a row the loop ends."""

    released: int
    wanted: int
    give_up: int = 20


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The loop's surroundings, asked or told at every step."""

    now_s: Callable[[], float] = time.monotonic
    pending_rosters: Callable[[], tuple[Path, ...]] = tuple
    """The files with rosters; each is removed once it was taken."""
    stale_topics: Callable[[], tuple[Publish, ...]] = tuple
    """The retained topics that an earlier run may have left behind; cleared at every connection."""
    given_up: Callable[[], str | None] = lambda: None
    """The reason for which the round under way is to be given up, once, or None."""
    stepped: Callable[[], None] = lambda: None
    """Told at the end of every step, for a watchdog."""


class LinkedTime:
    """A clock that stands still without a connection. `tick` it often: what passed since then counts if there is a connection now."""

    def __init__(self, now_s: Callable[[], float], connected: Callable[[], bool]) -> None:
        self._now_s, self._connected = now_s, connected
        self._last_s, self._was = now_s(), connected()
        self.seconds = 0.0
        """Seconds with a connection."""

    def tick(self) -> None:
        """Count what passed since the last tick if there was a connection then and is now."""
        now_s, connected = self._now_s(), self._connected()
        if connected and self._was:
            self.seconds += now_s - self._last_s
        self._last_s, self._was = now_s, connected


class JobListener(Protocol):
    """The listener to a job; `orchestrator.screen.Screen` is one."""

    def connected(self, connections: int) -> None:
        """Called at every connection, with the number of connections so far."""

    def waits(self, attendance: Attendance, absence: Absence) -> None:
        """Called when a round waits for more devices or members to be present, whenever that changes."""

    def short(self, number: int, absence: Absence) -> None:
        """Called when the round of that number has too few contributions and its time is up or nobody is left, whenever that changes."""

    def began(self, state: Collecting | Decrypting) -> None:
        """Called when a round begins, or is gone on with."""

    def moved(self, state: Collecting | Decrypting) -> None:
        """Called when something arrived for the round."""

    def ended(self, record: RoundRecord, state: CoordinatorState, wait_s: float) -> None:
        """Called when a round is over; the next one begins in `wait_s` at the earliest."""


class StatusStore(Protocol):
    """The store of the devices' statuses, and of what was dropped of them."""

    def keep_statuses(self, statuses: Mapping[str, bytes]) -> None:
        """Keep the last status of each of these devices, as it was signed."""

    def keep_dropped(self, dropped: Mapping[str, int]) -> None:
        """Add to the number of messages that were dropped of each of these devices."""


class Loop:
    """The loop of one job. It ends when its goal is reached, when too many rounds in a row were aborted, or after `stop`."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        messenger: Messenger,
        statuses: StatusStore,
        listener: JobListener,
        goal: Goal,
        *,
        surroundings: Surroundings | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._orchestrator, self._messenger, self._statuses, self._listener = orchestrator, messenger, statuses, listener
        self._goal, self._around, self._pace = goal, surroundings or Surroundings(), pace or Pace()
        self.released = goal.released
        now_s = self._around.now_s
        self._aborted = 0
        self._connections = 0
        self._next_round_s = self._statuses_s = self._forgot_s = now_s()
        self._phase: type[CoordinatorState] = NoRound
        self._linked = LinkedTime(now_s, lambda: self._messenger.link.connected)
        self._phase_s = self._asked_s = self._published_s = 0.0
        self._asked = 0
        self._waiting: tuple[Attendance, str] | None = None
        self._short = ""
        self._arrived = (0, 0)
        self._reported: dict[bytes, float] = {}
        self._stopping = threading.Event()

    @property
    def done(self) -> bool:
        """True if enough rounds were released, and none is open."""
        return self.released >= self._goal.wanted and isinstance(self._orchestrator.state, NoRound)

    def stop(self) -> None:
        """Make `run` return after the step that is under way. For signal handlers and other threads."""
        self._stopping.set()

    def run(self) -> bool:
        """Work until the job is done or `stop`. True if it is done. Raises what stops a job: storing, or a plan that cannot be.

        `LocalError(JOB_STALLED)`: too many rounds in a row were aborted.
        """
        while not self.done and not self._stopping.is_set():
            self.step()
        self._keep_statuses()
        return self.done

    def step(self) -> None:
        """One step: handle a new connection, rosters, deadlines, missing chunks, the next round, and what arrives meanwhile."""
        self._reconnect()
        self._take_rosters()
        self._give_up()
        self._follow(self._orchestrator.state)
        self._linked.tick()
        if self._messenger.link.connected and self._connections:
            self._push()
        before = self._orchestrator.state
        self._orchestrator.pump(self._pace.wait_s, next_message_s=self._pace.next_message_s)
        self._follow(before)
        self._do_periodic_work()
        self._around.stepped()

    def _reconnect(self) -> None:
        connections = self._messenger.link.connections
        if connections > self._connections:
            self._connections = connections
            self._orchestrator.send(self._around.stale_topics())
            self._orchestrator.connect()
            self._listener.connected(connections)

    def _take_rosters(self) -> None:
        for path in self._around.pending_rosters():
            before = self._orchestrator.state
            self._orchestrator.take_roster(path.read_bytes())
            path.unlink()
            self._follow(before)

    def _give_up(self) -> None:
        before, reason = self._orchestrator.state, self._around.given_up()
        if reason is not None and not isinstance(before, NoRound):
            self._orchestrator.abort(reason)
            self._follow(before)

    def _push(self) -> None:
        """Do what is due in this phase. Called while there is a connection; the clock of a round stands still otherwise."""
        linked_s, before = self._linked.seconds, self._orchestrator.state
        match before:
            case NoRound():
                due = self.released < self._goal.wanted and self._around.now_s() >= self._next_round_s
                if due and before.memory.read_back:
                    self._begin()
            case Collecting():
                if linked_s - self._phase_s >= before.terms.plan.deadline_s:
                    self._orchestrator.end_collection()
                self._tell_short(before, linked_s - self._phase_s)
                self._report_missing(self._around.now_s())
                if linked_s - self._published_s >= expiry_s(before.terms.plan) / 2:
                    self._published_s = linked_s
                    self._orchestrator.publish_plan_again()
            case Decrypting():
                if linked_s - self._asked_s >= self._pace.ask_again_s * 2 ** min(3, self._asked):
                    self._asked_s, self._asked = linked_s, self._asked + 1
                    self._orchestrator.ask_again()
        self._follow(before)

    def _begin(self) -> None:
        """Begin a round if enough are there to finish it: nobody pays for one that cannot be counted."""
        attendance = self._orchestrator.attendance
        if attendance.enough:
            self._waiting = None
            self._orchestrator.start_round()
        elif self._linked.seconds >= self._pace.settle_s:
            absence = self._orchestrator.absence
            if (attendance, str(absence)) != self._waiting:
                self._waiting = attendance, str(absence)
                self._listener.waits(attendance, absence)

    def _tell_short(self, before: Collecting, passed_s: float) -> None:
        # After a start the statuses have to come in first.
        if not before.missing or passed_s < self._pace.report_missing_s or not isinstance(self._orchestrator.state, Collecting):
            return
        absence = self._orchestrator.absence
        if (passed_s >= before.terms.plan.deadline_s or absence.hopeless) and str(absence) != self._short:
            self._short = str(absence)
            self._listener.short(before.terms.plan.round, absence)

    def _report_missing(self, now_s: float) -> None:
        for transfer in self._messenger.incomplete():
            due_s = self._reported.get(transfer.whole_hash, now_s - transfer.idle_s) + self._pace.report_missing_s
            if transfer.idle_s >= self._pace.report_missing_s and now_s >= due_s and self._orchestrator.report_missing(transfer):
                self._reported[transfer.whole_hash] = now_s

    def _follow(self, before: CoordinatorState) -> None:
        """Note what changed since `before`: a round that ended, a phase that began."""
        state = self._orchestrator.state
        if state.memory.record is not None and state.memory.record is not before.memory.record:
            self._count(state)
        if type(state) is not self._phase:
            self._phase, self._phase_s = type(state), self._linked.seconds
            self._asked_s, self._published_s, self._asked = self._phase_s, self._phase_s, 0
            self._reported.clear()
            self._short = ""
            if isinstance(state, Collecting) or (isinstance(state, Decrypting) and isinstance(before, NoRound)):
                self._listener.began(state)
        arrived = self._orchestrator.arrived
        if not isinstance(state, NoRound) and (arrived != self._arrived or type(state) is not type(before)):
            self._arrived = arrived
            self._listener.moved(state)

    def _count(self, state: CoordinatorState) -> None:
        record = _record(state)
        wait_s = 0.0
        if record.outcome is Outcome.RELEASED:
            self.released, self._aborted = self.released + 1, 0
        else:
            self._aborted += 1
            wait_s = min(self._pace.most_backoff_s, self._pace.backoff_s * 2 ** (self._aborted - 1))
        self._next_round_s = self._around.now_s() + wait_s
        self._listener.ended(record, state, wait_s)
        if self._aborted >= self._goal.give_up:
            raise LocalError(
                Refusal.JOB_STALLED,
                f"{self._aborted} rounds in a row were aborted, the last one: {record.reason}",
                next_step=f"See who is there, then run the job again to go on: {typed('orchestrator', 'devices')}",
            )

    def _do_periodic_work(self) -> None:
        now_s = self._around.now_s()
        if now_s - self._statuses_s >= self._pace.keep_statuses_s:
            self._statuses_s = now_s
            self._keep_statuses()
        if now_s - self._forgot_s >= self._pace.forget_s:
            self._forgot_s = now_s
            self._messenger.forget_idle(self._pace.forget_s)

    def _keep_statuses(self) -> None:
        if statuses := self._orchestrator.take_statuses():
            self._statuses.keep_statuses(statuses)
        if dropped := self._orchestrator.take_dropped():
            self._statuses.keep_dropped(dropped)


def _record(state: CoordinatorState) -> RoundRecord:
    """The latest record, which this side signed."""
    record = state.memory.record
    if record is None:
        raise LocalError(Refusal.PHASE, "no round has ended")
    return decode(RoundRecord, record.content, max_bytes=MAX_RECORD_BYTES)
