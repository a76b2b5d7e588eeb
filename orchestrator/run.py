"""`hushfleet orchestrator run`: a job from its file to its last round, or to the next stop."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from hushfleet.errors import LocalError
from hushfleet.link import Link, Messenger
from hushfleet.link.mqtt.client import MqttLink
from hushfleet.privacy import epsilon
from hushfleet.program.folder import Membership
from hushfleet.system.clock import now_ms
from hushfleet.system.signals import stopped_by_signals
from hushfleet.system.storage import TEMPORARY
from hushfleet.system.systemd import Notifier, Watch
from hushfleet.typed import typed
from orchestrator import give_up, pending_rosters
from orchestrator.account import NANO, rest_lines
from orchestrator.broker_link import connect_to_broker
from orchestrator.config import Config
from orchestrator.folder import OrchestratorKeys, StateFolder
from orchestrator.job.check import CheckedJob, Spending, check, job_cost, read_for_fleet
from orchestrator.job.choice import JobChoice
from orchestrator.job.file import JobFile
from orchestrator.job.standing import Done, Fresh, GoesOn
from orchestrator.loop import Goal, Loop, Pace, Surroundings
from orchestrator.screen import Screen
from orchestrator.service import Orchestrator
from orchestrator.store import database, journals
from orchestrator.store.begun import BegunJob
from orchestrator.store.reports import JobView, RoundView, reading
from orchestrator.store.stale_topics import removals
from orchestrator.store.store import Store

_LINK_ALIVE_S = 30.0
DISK_PAUSE_S = 10.0
"""The pause before a full or read-only disk is tried again."""


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
    ask: Callable[[str], None] = lambda _: None
    """Asked before a job spends what it has not spent before; raises for a no."""
    give_up: int = 20
    connect: "Connect | None" = None
    pace: Pace | None = None
    signals: bool = True


def run(folder: StateFolder, config: Config, path: Path, console: Console, options: Options) -> Summary:
    """Run the job in the file at `path`, or go on with it.

    A job that is done is told and costs nothing. Raises `LocalError`: `NOT_ENROLLED`, `CONFIG_INVALID`, `JOB_CHANGED`, `JOB_UNFINISHED`,
    `JOB_STALLED`, `STATE_IN_USE`, `STORE_UNUSABLE`, `LINK_AWAY`; what makes a plan impossible; and what `Options.ask` raises.
    """
    fleet, keys = folder.joined(), OrchestratorKeys.load(folder.path)
    with folder.locked(), closing(Store(folder.path, fleet.root, url=config.store.url)) as store:
        journals.require_place(store.engine, folder.path / database.FILE)
        choice = JobChoice(folder, config, keys, store)
        choice.take_waiting_rosters()
        file, text = read_for_fleet(path, store.roster())
        where = choice.standing(file, new=options.new)
        interrupted = False
        if isinstance(where, Done):
            _tell_done(choice, where, file, console)
        else:
            with reading(folder.path, fleet.root, config.store.url) as reports:
                pays = Spending(reports.accounts(), where.rounds, isinstance(where, GoesOn) and not where.raised)
            checked = check(file, text, path, store.roster(), pays)
            if not pays.begun and checked.cost.rho_nano:
                options.ask(question(checked))
            job = choice.begin(checked) if isinstance(where, Fresh) else choice.go_on(where.job, checked, path, console)
            interrupted = _while_the_disk_fills(
                choice, job, console, lambda job: _rounds(choice, fleet, checked, job, console=console, path=path, options=options)
            )
    return summary(folder, config, file, interrupted=interrupted)


def _while_the_disk_fills(choice: JobChoice, job: BegunJob, console: Console, rounds: Callable[[BegunJob], bool]) -> bool:
    """Run the rounds; where the disk is full or read-only wait, and go on from the store: what was not stored was not sent."""
    while True:
        try:
            return rounds(job)
        except LocalError as error:
            if error.reason not in TEMPORARY:
                raise
            Notifier().status(f"{error.reason}: no round begins")
            console.print(f"{error} It is tried again in {DISK_PAUSE_S:.0f} s.", markup=False, highlight=False, soft_wrap=True)
            time.sleep(DISK_PAUSE_S)
            job = choice.store.job() or job


def question(checked: CheckedJob) -> str:
    """The question before a job spends: its cost, and what each device has left."""
    pays, cost = checked.spending, checked.cost
    price = f"{pays.rounds} rounds cost up to rho {pays.rounds * cost.rho_nano / NANO:.4g} of each device"
    return f"Job {checked.file.job.name}: {price}; {'; '.join(rest_lines(pays.accounts, cost.rho_nano))}. Begin?"


def _tell_done(choice: JobChoice, where: Done, file: JobFile, console: Console) -> None:
    """Print that the job is done, how to have its model, and the cost of another training. An open end is closed; nothing is sent."""
    if where.current and not where.job.ended:
        choice.store.end_job()
    named = () if where.current else ("--job", where.job.name)
    lines = [
        f"done: {where.job.name}, version {where.job.version}, after {where.job.released} rounds",
        f"To have the model: {typed('orchestrator', 'model', 'export', *named, f'{where.job.name}.npz')}",
        f"--new trains it anew from its first model{_price(choice, file)}.",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _price(choice: JobChoice, file: JobFile) -> str:
    """The cost of the whole job of `file`, as part of what each device has left; empty where it costs nothing or can have no plan."""
    with reading(choice.folder.path, choice.store.root, choice.config.store.url) as reports:
        accounts = reports.accounts()
    rho = file.job.rounds * job_cost(file, choice.store.roster())
    left = min((one.left_nano for one in accounts if one.trains), default=0)
    if not rho:
        return ""
    part = f", {rho / left:.3g} of what each device has left" if left >= rho else f", more than the {left / NANO:.4g} that is left"
    return f" and costs rho {rho / NANO:.4g}{part}"


def summary(folder: StateFolder, config: Config, file: JobFile, *, interrupted: bool = False) -> Summary:
    """The progress of the job of that file, from the store."""
    with reading(folder.path, folder.joined().root, config.store.url) as reports:
        job, all_rounds = reports.current(file.job.name), reports.rounds(file.job.name)
    privacy = file.privacy
    spent = None if privacy.without_privacy else epsilon(job.rho_nano, privacy.delta)
    wanted = file.job.rounds
    last = all_rounds[-1] if all_rounds else None
    return Summary(job, wanted, job.released >= wanted, spent, privacy.delta, last, interrupted)


def _rounds(
    choice: JobChoice, fleet: Membership, checked: CheckedJob, job: BegunJob, *, console: Console, path: Path, options: Options
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
        state, rho = choice.state(coordinator, read_back=False), checked.cost.rho_nano
        orchestrator = Orchestrator(coordinator, state, messenger, choice.store, now_ms=now_ms, report=screen.report, rho_nano=rho)
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
