"""`hushfleet orchestrator run`: a job from its file to its last round, or to the next stop."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from hushfleet.documents import newer_roster, open_roster
from hushfleet.errors import LocalError, Refusal
from hushfleet.link import Link, Messenger
from hushfleet.link.mqtt.client import MqttLink
from hushfleet.privacy import epsilon
from hushfleet.program.folder import Membership
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.coordinator import Coordinator, CoordinatorState, NoRound
from hushfleet.rounds.effects import Effect, KeepRoster, Refused
from hushfleet.rounds.events import AbortWanted, RosterArrived
from hushfleet.rounds.machine import Running
from hushfleet.system.signals import stopped_by_signals
from hushfleet.system.systemd import Notifier, Watch
from hushfleet.wire import decode_signed
from models import catalogue
from orchestrator import pending_rosters
from orchestrator.broker_link import connect_to_broker
from orchestrator.config import Config
from orchestrator.folder import OrchestratorKeys, StateFolder
from orchestrator.job import file as job_file
from orchestrator.job.check import CheckedJob, check
from orchestrator.loop import Loop, Pace
from orchestrator.screen import Screen
from orchestrator.service import Orchestrator
from orchestrator.store.reports import JobView, RoundView, reading
from orchestrator.store.restore import coordinator_state
from orchestrator.store.stale_topics import removals
from orchestrator.store.store import CurrentJob, Store

_LINK_ALIVE_S = 30.0


@dataclass(frozen=True, slots=True)
class Summary:
    """The progress of a job. `epsilon` is that of a device that took part in every round; None without privacy."""

    job: JobView
    rounds: int
    finished: bool
    epsilon: float | None
    delta: float
    last: RoundView | None
    interrupted: bool = False
    """True if somebody typed Ctrl-C. A service that is told to stop has done what it should."""


Connect = Callable[[StateFolder, Membership, Config, Callable[[str], None]], Link]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run. `new`: leave an unfinished job. `connect` and `pace` are for tests, which have their own broker and clock."""

    new: bool = False
    give_up: int = 20
    connect: "Connect | None" = None
    pace: Pace | None = None
    signals: bool = True


def run(folder: StateFolder, config: Config, path: Path, console: Console, options: Options) -> Summary:
    """Run the job in the file at `path`, or go on with it.

    Raises `LocalError`: `NOT_ENROLLED`, `CONFIG_INVALID`, `JOB_UNFINISHED`, `JOB_STALLED`, `STATE_IN_USE`, `STORE_UNUSABLE`,
    `LINK_AWAY`; and what makes a plan impossible.
    """
    fleet, keys = folder.joined(), OrchestratorKeys.load(folder.path)
    file, text = job_file.read(path)
    with folder.locked(), closing(Store(folder.path, fleet.root, url=config.store.url)) as store:
        desk = JobChoice(folder, config, keys, store)
        desk.take_waiting_rosters()
        checked = check(file, text, path, store.roster())
        if checked.holdout is not None:
            store.score = checked.holdout.score_progress
        job = desk.choose(checked, path, console, new=options.new)
        interrupted = False
        if job.released < file.job.rounds:
            interrupted = _rounds(desk, fleet, checked, job, console=console, path=path, options=options)
        else:
            store.end_job()
    return summary(folder, config, checked, interrupted=interrupted)


def summary(folder: StateFolder, config: Config, checked: CheckedJob, *, interrupted: bool = False) -> Summary:
    """The progress of the job, from the store."""
    with reading(folder.path, folder.joined().root, config.store.url) as reports:
        job, all_rounds = reports.current(), reports.rounds()
    privacy = checked.file.privacy
    spent = None if privacy.without_privacy else epsilon(job.rho_nano, privacy.delta)
    wanted = checked.file.job.rounds
    last = all_rounds[-1] if all_rounds else None
    return Summary(job, wanted, job.released >= wanted, spent, privacy.delta, last, interrupted)


class JobChoice:
    """An orchestrator's store with its keys, before and beside the loop."""

    def __init__(self, folder: StateFolder, config: Config, keys: OrchestratorKeys, store: Store) -> None:
        self.folder, self.config, self.keys, self.store = folder, config, keys, store

    def coordinator(self, checked: CheckedJob) -> Coordinator:
        """The machine of a job."""
        signing, sealing, insecure = self.keys.signing, self.keys.sealing, self.config.testing.insecure_keys
        return Coordinator(signing, sealing, self.store.root, checked.job, checked.target, insecure)

    def state(self, coordinator: Coordinator) -> CoordinatorState:
        """As of the last transaction."""
        return coordinator_state(self.store, coordinator, now_ms=_now_ms(), now_s=time.time())

    def take_waiting_rosters(self) -> None:
        """A job is checked against the newest roster. A round that is open under an older one is over."""
        for path in pending_rosters.waiting(self.folder):
            data = path.read_bytes()
            if self.store.job() is None:
                candidate = open_roster(decode_signed(data), self.store.root)
                current = self.store.roster()
                if newer_roster(current, candidate).digest != current.digest:
                    self.store.persist((KeepRoster(candidate.signed),))
            else:
                _require_accepted(self._earlier().step(RosterArrived(data)))
            path.unlink()

    def choose(self, checked: CheckedJob, path: Path, console: Console, *, new: bool) -> CurrentJob:
        """The job to go on with, or a new one. Raises `LocalError(JOB_UNFINISHED)`."""
        current = self.store.job()
        if current is None:
            return self._begin(checked)
        if current.identity == checked.identity and not new:
            before = job_file.parse(current.settings, path.with_name(f"{current.name} as it began"))
            for change in job_file.changes(before, checked.file):
                console.print(f"changed since it began: {change}", markup=False, highlight=False, soft_wrap=True)
            return self.store.continue_job(checked.text)
        if not current.ended and not new:
            wanted = job_file.parse(current.settings, Path(current.name)).job.rounds
            message = f"the job {current.name} is unfinished: {current.released} of {wanted} rounds are released"
            raise LocalError(Refusal.JOB_UNFINISHED, message, next_step="Go on with that one, or leave it: add --new")
        self._leave(current)
        return self._begin(checked)

    def _begin(self, checked: CheckedJob) -> CurrentJob:
        return self.store.begin_job(checked.file.job.name, checked.identity, checked.text, checked.first)

    def _leave(self, current: CurrentJob) -> None:
        """An open round of a job that is left is aborted, with its record."""
        earlier = self._earlier()
        if not isinstance(earlier.state, NoRound):
            earlier.step(AbortWanted(f"{current.name} was left for another job", _now_ms()))

    def _earlier(self) -> Running[CoordinatorState]:
        """The machine of the current job as it was begun, without a link."""
        current = self.store.job()
        if current is None:
            raise LocalError(Refusal.JOB_UNKNOWN, "no job was begun here")
        file = job_file.parse(current.settings, Path(current.name))
        job = file.to_job(catalogue.architecture(file.model.full_name))
        insecure = self.config.testing.insecure_keys
        machine = Coordinator(self.keys.signing, self.keys.sealing, self.store.root, job, None, insecure)
        return Running(machine, self.state(machine), self.store.persist, SystemRandomness())


def _rounds(
    desk: JobChoice, fleet: Membership, checked: CheckedJob, job: CurrentJob, *, console: Console, path: Path, options: Options
) -> bool:
    """Run the loop to its end. True if it ended by Ctrl-C."""
    notifier, coordinator = Notifier(), desk.coordinator(checked)
    holdout, wanted = checked.holdout, checked.file.job.rounds
    with reading(desk.folder.path, fleet.root, desk.config.store.url) as reports:
        spent = view.rho_nano if (view := reports.job()) else 0
    score = holdout.score_progress if holdout else lambda _: None
    screen = Screen(console, checked, spent_nano=spent, score=score, status=notifier.status)
    screen.opening(job.released, str(desk.folder.path))
    with _link(desk, fleet, screen, options) as link:
        watch = Watch(notifier, lambda: not isinstance(link, MqttLink) or link.alive_within_s(_LINK_ALIVE_S), on_stuck=screen.note)
        messenger = Messenger(link, desk.folder.spool, on_refused=lambda error: screen.note(f"dropped a message: {error}"))
        orchestrator = Orchestrator(coordinator, desk.state(coordinator), messenger, desk.store, now_ms=_now_ms, report=screen.report)
        loop = Loop(
            orchestrator,
            messenger,
            desk.store,
            screen,
            released=job.released,
            wanted=wanted,
            now_s=time.monotonic,
            pending_rosters=lambda: pending_rosters.waiting(desk.folder),
            stale_topics=lambda: removals(desk.store),
            turned=watch.stepped,
            pace=options.pace,
            give_up=options.give_up,
        )
        with _stopped(loop, options) as caught:
            done = _watched(loop, notifier, watch, screen)
    if done:
        desk.store.end_job()
        screen.finished(loop.released)
    else:
        screen.stopped(f"hushfleet orchestrator run {path}", loop.released)
    return signal.SIGINT in caught and not done


def _watched(loop: Loop, notifier: Notifier, watch: Watch, screen: Screen) -> bool:
    """Run the loop under the watchdog. True if the job is done, False if it was stopped."""
    notifier.ready()
    watch.start()
    try:
        return loop.run()
    finally:
        watch.end()
        notifier.stopping()
        screen.close()


@contextmanager
def _link(desk: JobChoice, fleet: Membership, screen: Screen, options: Options) -> Iterator[Link]:
    link = (options.connect or connect_to_broker)(desk.folder, fleet, desk.config, screen.note)
    try:
        yield link
    finally:
        link.close()


def _stopped(loop: Loop, options: Options) -> AbstractContextManager[list[int]]:
    return stopped_by_signals(loop.stop) if options.signals else nullcontext([])


def _require_accepted(effects: tuple[Effect, ...]) -> None:
    for effect in effects:
        if isinstance(effect, Refused):
            raise effect.error


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
