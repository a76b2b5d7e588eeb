"""The jobs that a store has begun, oldest first. The last one is the current job."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from hushfleet.documents import Outcome
from orchestrator.store.schema import jobs, rounds


@dataclass(frozen=True, slots=True)
class BegunJob:
    """A job of the store. `identity` says which jobs are one and the same; `version` is that of its result so far."""

    id: int
    name: str
    identity: bytes
    settings: str
    ended: bool
    released: int
    version: int


def begun_jobs(connection: Connection) -> tuple[BegunJob, ...]:
    """Every job, oldest first."""
    of_job = select(rounds.c.job_id, func.count()).where(rounds.c.outcome == Outcome.RELEASED.value).group_by(rounds.c.job_id)
    released = {row[0]: row[1] for row in connection.execute(of_job)}
    return tuple(
        BegunJob(row.id, row.name, row.identity, row.settings, row.ended_at is not None, released.get(row.id, 0), row.version)
        for row in connection.execute(select(jobs).order_by(jobs.c.id))
    )
