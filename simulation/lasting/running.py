"""Starting a lasting fleet and watching its job: every line comes from the orchestrator's own store."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy import epsilon
from orchestrator.folder import StateFolder
from orchestrator.store.reports import JobView, Reports, RoundView, reading
from simulation.lasting.place import Place
from simulation.lasting.processes import ORCHESTRATOR, Processes, start_agent, start_broker, start_orchestrator

DELTA = 1e-6
_LOOK_EVERY_S = 0.5
_TAIL_BYTES = 1000

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class JobResult:
    """The progress of the job. `accuracy` on the holdout, None without one; `epsilon` at delta 10^-6."""

    rounds: int
    released: int
    done: bool
    accuracy: float | None
    epsilon: float | None


def start(place: Place, tell: Tell) -> Processes:
    """Start what does not run: the broker, the devices that live here, and the orchestrator while its job is unfinished."""
    facts, processes = place.facts(), Processes(place)
    started = ["the broker"] if start_broker(processes, place, facts.port) else []
    agents = [name for name in place.agents() if start_agent(processes, place, name)]
    started += [f"{len(agents)} devices"] if agents else []
    job = _job(place)
    if (job is None or job.state != "done") and start_orchestrator(processes, place):
        started.append("the orchestrator")
    tell(f"Started: {', '.join(started)}." if started else "Everything runs already.")
    return processes


def follow(place: Place, processes: Processes, tell: Tell) -> JobResult:
    """Tell each round as it ends, until the job is done. Raises `LocalError(JOB_STALLED)` if the orchestrator ended before."""
    told = 0
    while True:
        runs = ORCHESTRATOR in processes.alive()  # before looking: what it wrote last is seen below
        views = [view for view in _rounds(place) if view.ended_at is not None]
        for view in views[told:]:
            tell(_line(view))
        told = len(views)
        job = _job(place)
        if job is not None and job.state == "done":
            return result(place)
        if not runs:
            raise LocalError(Refusal.JOB_STALLED, f"the orchestrator ended: {_tail(place)}", next_step=f"See {place.log(ORCHESTRATOR)}")
        time.sleep(_LOOK_EVERY_S)  # a round takes seconds


def result(place: Place) -> JobResult:
    """The job as the store has it."""
    views, job = _rounds(place), _job(place)
    if job is None:
        return JobResult(0, 0, done=False, accuracy=None, epsilon=None)
    released = [view for view in views if view.accuracy is not None]
    spent = epsilon(job.rho_nano, DELTA) if job.rho_nano else 0.0
    return JobResult(job.released + job.aborted, job.released, job.state == "done", released[-1].accuracy if released else None, spent)


def _line(view: RoundView) -> str:
    score = "" if view.accuracy is None else f", accuracy {view.accuracy:.1%}"
    return f"round {view.number}: {view.state}{score}"


def _tail(place: Place) -> str:
    data = place.log(ORCHESTRATOR).read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
    lines = data.strip().splitlines() or ["it said nothing"]
    return next((line for line in reversed(lines) if line.startswith("Error: ")), lines[-1]).removeprefix("Error: ")


def _job(place: Place) -> JobView | None:
    with _reading(place) as reports:
        return reports.job()


def _rounds(place: Place) -> tuple[RoundView, ...]:
    with _reading(place) as reports:
        return reports.rounds() if reports.job() is not None else ()


@contextmanager
def _reading(place: Place) -> Iterator[Reports]:
    folder = StateFolder(place.orchestrator)
    with reading(folder.path, folder.joined().root) as reports:
        yield reports
