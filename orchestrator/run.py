"""`hushfleet orchestrator run`: a job from its file to its last round, or to the next stop."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from hushfleet.link import Link, Messenger
from hushfleet.link.mqtt.client import MqttLink
from hushfleet.privacy import epsilon
from hushfleet.program.folder import Membership
from hushfleet.system.clock import now_ms
from hushfleet.system.signals import stopped_by_signals
from hushfleet.system.systemd import Notifier, Watch
from hushfleet.typed import typed
from orchestrator import give_up, pending_rosters
from orchestrator.broker_link import connect_to_broker
from orchestrator.config import Config
from orchestrator.folder import OrchestratorKeys, StateFolder
from orchestrator.job import file as job_file
from orchestrator.job.check import CheckedJob, check
from orchestrator.job.choice import JobChoice
from orchestrator.loop import Goal, Loop, Pace, Surroundings
from orchestrator.screen import Screen
from orchestrator.service import Orchestrator
from orchestrator.store.reports import JobView, RoundView, reading
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
        choice = JobChoice(folder, config, keys, store)
        choice.take_waiting_rosters()
        checked = check(file, text, path, store.roster())
        if checked.holdout is not None:
            store.score = checked.holdout.score_progress
        job = choice.choose(checked, path, console, new=options.new)
        interrupted = False
        if job.released < file.job.rounds:
            interrupted = _rounds(choice, fleet, checked, job, console=console, path=path, options=options)
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


def _rounds(
    choice: JobChoice, fleet: Membership, checked: CheckedJob, job: CurrentJob, *, console: Console, path: Path, options: Options
) -> bool:
    """Run the loop to its end. True if it ended by Ctrl-C."""
    notifier, coordinator = Notifier(), choice.coordinator(checked)
    holdout, wanted = checked.holdout, checked.file.job.rounds
    with reading(choice.folder.path, fleet.root, choice.config.store.url) as reports:
        spent = view.rho_nano if (view := reports.job()) else 0
    score = holdout.score_progress if holdout else lambda _: None
    screen = Screen(console, checked, spent_nano=spent, score=score, status=notifier.status)
    screen.opening(job.released, str(choice.folder.path))
    with _link(choice, fleet, screen, options) as link:
        watch = Watch(notifier, lambda: not isinstance(link, MqttLink) or link.alive_within_s(_LINK_ALIVE_S), on_stuck=screen.note)
        messenger = Messenger(link, choice.folder.spool, on_refused=lambda error: screen.note(f"dropped a message: {error}"))
        orchestrator = Orchestrator(coordinator, choice.state(coordinator), messenger, choice.store, now_ms=now_ms, report=screen.report)
        surroundings = Surroundings(
            pending_rosters=lambda: pending_rosters.waiting(choice.folder),
            stale_topics=lambda: removals(choice.store),
            given_up=lambda: give_up.take(choice.folder),
            stepped=watch.stepped,
        )
        goal = Goal(released=job.released, wanted=wanted, give_up=options.give_up)
        loop = Loop(orchestrator, messenger, choice.store, screen, goal, surroundings=surroundings, pace=options.pace)
        with _stopped(loop, options) as caught:
            done = _watched(loop, notifier, watch, screen)
    if done:
        choice.store.end_job()
        screen.finished(loop.released)
    else:
        screen.stopped(typed("orchestrator", "run", path), loop.released)
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
def _link(choice: JobChoice, fleet: Membership, screen: Screen, options: Options) -> Iterator[Link]:
    link = (options.connect or connect_to_broker)(choice.folder, fleet, choice.config, screen.note)
    try:
        yield link
    finally:
        link.close()


def _stopped(loop: Loop, options: Options) -> AbstractContextManager[list[int]]:
    return stopped_by_signals(loop.stop) if options.signals else nullcontext([])
