"""`hushfleet orchestrator recover`: a store that was put back to an earlier state goes on from its archive (PROTOCOL 8)."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from hushfleet.codec import encode
from hushfleet.documents import Plan, RoundRecord, open_plan, open_record
from hushfleet.documents.archive import RoundArchive, digest
from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import sha256
from hushfleet.rounds.journal import JournalEntry
from hushfleet.rounds.tasks.base import Progress
from hushfleet.signing import VerifyKey
from hushfleet.wire import status_in
from orchestrator.store import database, journals
from orchestrator.store.begun import BegunJob
from orchestrator.store.schema import accepted, answers, jobs, presence, rosters, rounds
from orchestrator.store.store import Store

Restored = Callable[[bytes, int], Progress]
"""A function (result, version) -> `Progress`: the task's state after a round, from what the archive holds of it."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The rounds that were taken from the archive, and the highest round of the key in force: the next one is above it."""

    rounds: tuple[str, ...]
    highest: int


def recover(store: Store, orchestrator: VerifyKey, restored: Restored) -> Recovered:
    """Take the rounds that the archive holds and the store has forgotten, and go on above the highest number that anybody has seen.

    The store lives here from now on. Raises `LocalError(STORE_ROLLED_BACK)` if the archive cannot be followed.
    """
    job, taken = store.job(), tuple[str, ...]()
    if job is not None:
        archive, known = store.archive(job), store.ended(job)
        taken = archive.unknown(known)
        for name in taken:
            found = RoundArchive.read(archive.read(name))
            record = open_record(found.record, orchestrator)
            _take(store, job, name, found, (open_plan(found.plan, orchestrator).plan, record, restored(found.after, _version(record))))
    key_id = store.roster().key_id
    with store.engine.begin() as connection:
        journals.settle_floors(connection)
        journals.keep_floor(connection, key_id, _highest(connection, key_id), settled=True)
        highest = journals.settled_floors(connection)[key_id]
        journals.append(connection, encode(JournalEntry("recovered", key_id, highest, b"")))
        journals.keep_place(connection, store.folder / database.FILE)
    database.checkpoint(store.engine)
    return Recovered(taken, highest)


def _take(store: Store, job: BegunJob, name: str, found: RoundArchive, opened: tuple[Plan, RoundRecord, Progress]) -> None:
    """One archived round becomes a row of the store; what the store believed of that round goes."""
    plan, record, progress = opened
    store.blobs.put(progress.to_bytes())
    store.blobs.put(progress.result)
    with store.engine.begin() as connection:
        _forget(connection, plan)
        connection.execute(
            insert(rounds).values(
                job_id=job.id,
                key_id=plan.key_id,
                number=plan.round,
                roster_serial=_serial(connection, plan),
                plan=encode(found.plan),
                began_at=0.0,
                ended_at=0.0,
                record=encode(found.record),
                outcome=record.outcome.value,
                version=progress.version,
                archive=name,
                archive_hash=digest(found.files()),
            )
        )
        of_round = select(rounds.c.id).where(rounds.c.key_id == plan.key_id, rounds.c.number == plan.round)
        kept = {"round_id": connection.execute(of_round).scalar_one(), "kept": b"", "whole_hash": b"", "size": 0, "accepted_at": 0.0}
        if record.device_ids:
            connection.execute(insert(accepted), [kept | {"device_id": name} for name in record.device_ids])
        result = sha256(progress.result)
        values = {"version": progress.version, "progress": sha256(progress.to_bytes()), "result": result}
        best = {"best_version": progress.version, "best_result": result, "best_score": None}
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(**values, **best))


def _forget(connection: Connection, plan: Plan) -> None:
    """Close what the store holds of this round or a later one of the key: others have its true end."""
    later = (rounds.c.key_id == plan.key_id) & (rounds.c.number >= plan.round)
    known = connection.execute(select(rounds.c.id).where(later)).scalars().all()
    for column in (accepted.c.round_id, answers.c.round_id, rounds.c.id):
        connection.execute(delete(column.table).where(column.in_(known)))


def _serial(connection: Connection, plan: Plan) -> int:
    """The serial of the plan's roster. `LocalError(STORE_ROLLED_BACK)` if the store does not hold it."""
    if connection.execute(select(rosters.c.serial).where(rosters.c.serial == plan.roster_serial)).one_or_none() is None:
        message = f"the archive holds round {plan.round} under roster {plan.roster_serial}, which the store has forgotten"
        raise LocalError(Refusal.STORE_ROLLED_BACK, message, next_step="Publish that roster again, then recover.")
    return plan.roster_serial


def _highest(connection: Connection, key_id: bytes) -> int:
    """The highest round that was begun here, or that a device said it has seen."""
    begun = connection.execute(select(func.max(rounds.c.number)).where(rounds.c.key_id == key_id)).scalar_one_or_none() or 0
    seen = (status_in(row.status) for row in connection.execute(select(presence)))
    return max(int(begun), *(status.round for status in seen if status is not None), 0)


def _version(record: RoundRecord) -> int:
    return int(getattr(record.result, "version_after", 0))
