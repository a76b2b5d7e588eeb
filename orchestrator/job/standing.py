"""The relation of a job file to the jobs that were begun here: fresh, under way, done, or at odds with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hushfleet.errors import LocalError, Refusal
from hushfleet.typed import typed
from models import catalogue
from orchestrator.job import file as job_file
from orchestrator.job.file import JobFile


class Begun(Protocol):
    """A job that was begun; `orchestrator.store.begun.BegunJob` is one."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def identity(self) -> bytes:
        """Equal for versions of the same job."""

    @property
    def settings(self) -> str:
        """The text of its file."""

    @property
    def ended(self) -> bool:
        """True once another one may begin."""

    @property
    def released(self) -> int:
        """The rounds that it released."""

    @property
    def version(self) -> int:
        """The version of its model."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """A job that begins with this run. `leaves` is an unfinished one that is left for it."""

    rounds: int
    leaves: Begun | None = None


@dataclass(frozen=True, slots=True)
class GoesOn:
    """A job that this run goes on with, for `rounds` more of them. `raised`: it was done, and the file asks for more rounds."""

    job: Begun
    rounds: int
    raised: bool


@dataclass(frozen=True, slots=True)
class Done:
    """A job that has released all that its file asks for: there is nothing to spend. `current`: no job was begun after it."""

    job: Begun
    current: bool
    rounds: int = 0


Standing = Fresh | GoesOn | Done


def standing(file: JobFile, begun: Sequence[Begun], *, new: bool) -> Standing:
    """The standing of `file` among the jobs `begun`, oldest first. `new`: it begins whatever there was.

    Raises `LocalError`: `JOB_CHANGED` for the name of a job with another model or global optimiser, `JOB_UNFINISHED` if one is in the way.
    """
    current = begun[-1] if begun else None
    earlier = next((job for job in reversed(begun) if job.name == file.job.name), None)
    unfinished = current if current is not None and not current.ended else None
    if new:
        return Fresh(file.job.rounds, unfinished)
    if earlier is None:
        _require_none(unfinished)
        return Fresh(file.job.rounds)
    _require_same(file, earlier)
    if earlier.released >= file.job.rounds:
        return Done(earlier, earlier is current)
    if earlier is not current:
        _require_none(unfinished)
        raise LocalError(
            Refusal.JOB_UNFINISHED,
            f"the job {earlier.name} ended after {earlier.released} rounds and another was begun since: it cannot be gone on with",
            next_step="Begin it anew from its first model, which costs budget anew: add --new. Its model so far: "
            + typed("orchestrator", "model", "export", "--job", earlier.name, f"{earlier.name}.npz"),
        )
    return GoesOn(earlier, file.job.rounds - earlier.released, earlier.ended)


def _require_same(file: JobFile, earlier: Begun) -> None:
    try:
        identity = file.identity(catalogue.architecture(file.model.full_name))
    except LocalError:
        return  # the check of the job names it
    if identity == earlier.identity:
        return
    changes = job_file.changes(job_file.parse(earlier.settings, Path(earlier.name)), file)
    raise LocalError(
        Refusal.JOB_CHANGED,
        f"the job {earlier.name} was begun here with another model or global optimiser:\n  " + "\n  ".join(changes),
        next_step="Give the job in this file another name, or leave the earlier one and begin anew: add --new",
    )


def _require_none(job: Begun | None) -> None:
    if job is None:
        return
    wanted = job_file.parse(job.settings, Path(job.name)).job.rounds
    raise LocalError(
        Refusal.JOB_UNFINISHED,
        f"the job {job.name} is unfinished: {job.released} of {wanted} rounds are released",
        next_step="Go on with that one, or leave it: add --new",
    )
