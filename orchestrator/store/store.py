"""The durable memory of an orchestrator: blobs and archive folders first, then one transaction that names them by their hashes."""

import time
from collections.abc import Callable, Mapping
from functools import singledispatchmethod
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, delete, func, insert, select, update

from hushfleet.codec import decode, encode
from hushfleet.documents import Plan, Roster, RoundRecord, VerifiedRoster
from hushfleet.documents.archive import digest, folder_name
from hushfleet.documents.limits import MAX_PLAN_BYTES, MAX_RECORD_BYTES, MAX_ROSTER_BYTES
from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import sha256
from hushfleet.rounds.effects import (
    AcceptedContribution,
    Change,
    DropReceivedAnswer,
    KeepAccepted,
    KeepFloor,
    KeepOutcome,
    KeepReceivedAnswer,
    KeepRequest,
    KeepRoster,
    KeepRound,
)
from hushfleet.rounds.journal import entry_of
from hushfleet.rounds.tasks.base import Progress
from hushfleet.signing import Signed, VerifyKey
from hushfleet.system.storage import storage_errors
from hushfleet.typed import typed
from hushfleet.wire import Contribution
from orchestrator.store import database, journals
from orchestrator.store.archive_folder import Archive
from orchestrator.store.begun import BegunJob, begun_jobs
from orchestrator.store.blobs import Blobs
from orchestrator.store.roster import load_roster
from orchestrator.store.schema import accepted, answers, floods, jobs, presence, rosters, rounds


class Scores(Protocol):
    """The value of a model on the holdout; `orchestrator.job.holdout.Score` is one."""

    @property
    def loss(self) -> float:
        """Mean loss."""

    @property
    def accuracy(self) -> float | None:
        """Share of right answers, if the loss knows any."""


class Store:
    """One orchestrator's memory: a database, and blobs and archives in `folder`. One process at a time writes.

    After an error while storing, the state in memory may be older than the store: stop, and begin again from the store.
    `score` is asked for the outcome of every round, and must give the same for the same outcome.
    """

    def __init__(
        self,
        folder: Path,
        root: VerifyKey,
        *,
        url: str | None = None,
        now_s: Callable[[], float] = time.time,
        score: Callable[[Progress], Scores | None] = lambda _: None,
        recovering: bool = False,
    ) -> None:
        """Open what `create` made. `recovering`: also one that is older than what others hold, to mend it.

        Raises `LocalError`: `STORE_UNUSABLE` if it is gone, for which rounds were signed is not known then; `STORE_DAMAGED`;
        `STORE_ROLLED_BACK`.
        """
        self.folder, self.root, self.score = folder, root, score
        self._now_s = now_s
        self.blobs = Blobs(folder / "blobs")
        if url is None and not (folder / database.FILE).exists():
            raise database.lost(str(folder / database.FILE))
        self.engine = database.connect(url or database.default_url(folder))
        try:
            with storage_errors(folder, damaged=database.DAMAGED_NEXT):
                database.bring_up_to_date(self.engine)
                database.check(self.engine)
                journals.check(self.engine, where=str(folder))
                if not recovering:
                    journals.require_settled(self.engine)
                    self._settle()
        except Exception:
            self.engine.dispose()
            raise

    @classmethod
    def create(cls, folder: Path, roster: VerifiedRoster, *, url: str | None = None, **options: object) -> "Store":
        """A fresh store, once, at enrolment, holding the first roster. Raises `LocalError(STORE_UNUSABLE)` if one is there."""
        engine = database.connect(url or database.default_url(folder))
        try:
            database.create(engine)
            with engine.begin() as connection:
                _insert_roster(connection, roster.signed, time.time())
        finally:
            engine.dispose()
        return cls(folder, roster.root, url=url, **options)  # type: ignore[arg-type]  # the keywords of the constructor

    def close(self) -> None:
        """Close the database."""
        self.engine.dispose()

    def roster(self) -> VerifiedRoster:
        """The roster in force, verified again."""
        with self.engine.connect() as connection:
            return load_roster(connection, self.root)

    def job(self) -> BegunJob | None:
        """The current job, or None before the first."""
        begun = self.jobs()
        return begun[-1] if begun else None

    def jobs(self) -> tuple[BegunJob, ...]:
        """Every job that was begun here, oldest first."""
        with self.engine.connect() as connection:
            return begun_jobs(connection)

    def has_open_round(self) -> bool:
        """True if a round has no outcome yet."""
        with self.engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(rounds).where(rounds.c.outcome.is_(None))).scalar_one() > 0

    def progress(self) -> bytes:
        """The current job's progress (`Progress.to_bytes`). Raises `LocalError`: `JOB_UNKNOWN`, `STORE_UNUSABLE`."""
        with self.engine.connect() as connection:
            return self.blobs.get(connection.execute(select(jobs.c.progress).where(jobs.c.id == self._current().id)).scalar_one())

    def result(self) -> bytes:
        """The public outcome so far of the current job (`Progress.result`). Raises as `progress`."""
        with self.engine.connect() as connection:
            return self.blobs.get(connection.execute(select(jobs.c.result).where(jobs.c.id == self._current().id)).scalar_one())

    def begin_job(self, name: str, identity: bytes, settings: str, progress: Progress) -> BegunJob:
        """Begin a job. The one before it, if any, is over."""
        progress_hash, result_hash = self._put(progress)
        score = self.score(progress)
        with self.engine.begin() as connection:
            connection.execute(update(jobs).where(jobs.c.ended_at.is_(None)).values(ended_at=self._now_s()))
            connection.execute(
                insert(jobs).values(
                    name=name,
                    identity=identity,
                    settings=settings,
                    began_at=self._now_s(),
                    version=progress.version,
                    progress=progress_hash,
                    result=result_hash,
                    best_version=progress.version,
                    best_result=result_hash,
                    best_score=_rank(score),
                )
            )
        return self._current()

    def continue_job(self, settings: str) -> BegunJob:
        """Go on with the current job under new settings, also if it was over."""
        with self.engine.begin() as connection:
            connection.execute(update(jobs).where(jobs.c.id == self._current().id).values(settings=settings, ended_at=None))
        return self._current()

    def end_job(self) -> None:
        """The current job is over: another may begin."""
        with self.engine.begin() as connection:
            connection.execute(update(jobs).where(jobs.c.id == self._current().id).values(ended_at=self._now_s()))

    def archive(self, job: BegunJob) -> Archive:
        """The folder of a job's finished rounds."""
        return Archive(self.folder / "archive" / f"{job.id:03d}-{job.name}", self.root)

    def keep_statuses(self, statuses: Mapping[str, bytes]) -> None:
        """Keep what devices last said of themselves, in one transaction."""
        with self.engine.begin() as connection:
            for device_id, status in statuses.items():
                values = {"status": status, "heard_at": self._now_s()}
                known = connection.execute(update(presence).where(presence.c.device_id == device_id).values(**values))
                if known.rowcount == 0:
                    connection.execute(insert(presence).values(device_id=device_id, **values))

    def keep_dropped(self, dropped: Mapping[str, int]) -> None:
        """Add to the messages that were dropped of each of these devices, in one transaction."""
        with self.engine.begin() as connection:
            for device_id, more in dropped.items():
                row = floods.c.device_id == device_id
                known = connection.execute(update(floods).where(row).values(dropped=floods.c.dropped + more, last_at=self._now_s()))
                if known.rowcount == 0:
                    connection.execute(insert(floods).values(device_id=device_id, dropped=more, last_at=self._now_s()))

    def persist(self, changes: tuple[Change, ...]) -> None:
        """Make all changes durable in one transaction; on an error, none."""
        with storage_errors(self.folder, damaged=database.DAMAGED_NEXT):
            self._persist(changes)

    def _persist(self, changes: tuple[Change, ...]) -> None:
        prepared = self._prepare(changes)
        with self.engine.begin() as connection:
            for change in changes:
                self._keep(change, connection)
                if (entry := entry_of(change)) is not None:
                    journals.append(connection, entry)
        for archive, name in prepared:
            archive.publish(name)
        if prepared:
            database.checkpoint(self.engine)
        if any(isinstance(change, KeepRound | KeepOutcome) for change in changes):
            self.sweep()

    def _prepare(self, changes: tuple[Change, ...]) -> list[tuple[Archive, str]]:
        """Store the files that the transaction will name; the archive folders to publish after it."""
        prepared: list[tuple[Archive, str]] = []
        for change in changes:
            match change:
                case KeepAccepted(contributions=contributions, total=total):
                    self.blobs.put(total)
                    for one in contributions:
                        self.blobs.put(_kept(one))
                case KeepRequest(request=request):
                    self.blobs.put(request)
                case KeepOutcome():
                    self._put(change.progress)
                    archive = self.archive(self._current())
                    prepared.append((archive, archive.prepare(change.key_epoch, change.round, change.archive.files())))
        return prepared

    def _put(self, progress: Progress) -> tuple[bytes, bytes]:
        """Store both blobs of a job's progress; their hashes."""
        return self.blobs.put(progress.to_bytes()), self.blobs.put(progress.result)

    def sweep(self) -> None:
        """Remove blobs that nothing needs any more: contributions, sums and requests of all rounds but the latest, results in between."""
        with self.engine.connect() as connection:
            latest = select(func.max(rounds.c.id)).scalar_subquery()
            keep = {*connection.scalars(select(accepted.c.kept).where(accepted.c.round_id == latest))}
            for column in (rounds.c.request, rounds.c.total):
                keep |= {*connection.scalars(select(column).where(rounds.c.id == latest, column.is_not(None)))}
            for column in (jobs.c.progress, jobs.c.result, jobs.c.best_result):
                keep |= {*connection.scalars(select(column))}
        self.blobs.sweep(keep)

    def _settle(self) -> None:
        """Finish what a crash interrupted between a commit and what follows it."""
        job = self.job()
        if job is not None:
            self.archive(job).settle(self.ended(job))
        self.sweep()

    def ended(self, job: BegunJob) -> dict[str, bytes]:
        """The archived rounds of a job: name of the folder -> hash of its files."""
        with self.engine.connect() as connection:
            ours = (rounds.c.job_id == job.id) & rounds.c.outcome.is_not(None)
            found = connection.execute(select(rounds.c.archive, rounds.c.archive_hash).where(ours)).all()
        return {row.archive: row.archive_hash for row in found}

    def _current(self) -> BegunJob:
        job = self.job()
        if job is None:
            raise LocalError(Refusal.JOB_UNKNOWN, "no job was begun here", next_step=typed("orchestrator", "run", "job.toml"))
        return job

    @singledispatchmethod
    def _keep(self, change: object, _: Connection) -> None:
        raise TypeError(f"the orchestrator stores no {type(change).__name__}")

    @_keep.register
    def _(self, change: KeepRoster, connection: Connection) -> None:
        _insert_roster(connection, change.signed, self._now_s())

    @_keep.register
    def _(self, change: KeepRound, connection: Connection) -> None:
        plan = decode(Plan, change.plan.content, max_bytes=MAX_PLAN_BYTES)
        connection.execute(
            insert(rounds).values(
                job_id=self._current().id,
                key_id=change.key_id,
                number=change.round,
                roster_serial=plan.roster_serial,
                plan=encode(change.plan),
                began_at=self._now_s(),
            )
        )

    @_keep.register
    def _(self, change: KeepAccepted, connection: Connection) -> None:
        round_id, _ = _open_round(connection, change.round)
        rows = [
            {
                "round_id": round_id,
                "device_id": one.device_id,
                "kept": sha256(_kept(one)),
                "whole_hash": one.whole_hash,
                "size": one.size,
                "accepted_at": self._now_s(),
            }
            for one in change.contributions
        ]
        connection.execute(insert(accepted), rows)
        connection.execute(update(rounds).where(rounds.c.id == round_id).values(total=sha256(change.total)))

    @_keep.register
    def _(self, change: KeepRequest, connection: Connection) -> None:
        round_id, _ = _open_round(connection, change.round)
        # The database itself keeps to one request a round, whatever a second process believes.
        once = update(rounds).where(rounds.c.id == round_id, rounds.c.request.is_(None))
        if connection.execute(once.values(request=sha256(change.request))).rowcount != 1:
            raise _second_process(f"round {change.round} has a request already")

    @_keep.register
    def _(self, change: KeepReceivedAnswer, connection: Connection) -> None:
        round_id, _ = _open_round(connection, change.round)
        connection.execute(insert(answers).values(round_id=round_id, member_index=change.index, signed=encode(change.answer)))

    @_keep.register
    def _(self, change: DropReceivedAnswer, connection: Connection) -> None:
        round_id, _ = _open_round(connection, change.round)
        connection.execute(delete(answers).where(answers.c.round_id == round_id, answers.c.member_index == change.index))

    @_keep.register
    def _(self, change: KeepFloor, connection: Connection) -> None:
        journals.keep_floor(connection, change.key_id, change.round, settled=False)

    @_keep.register
    def _(self, change: KeepOutcome, connection: Connection) -> None:
        round_id, job_id = _open_round(connection, change.round)
        signed = change.archive.record
        record = decode(RoundRecord, signed.content, max_bytes=MAX_RECORD_BYTES)
        score = self.score(change.progress)
        connection.execute(
            update(rounds)
            .where(rounds.c.id == round_id)
            .values(
                ended_at=self._now_s(),
                record=encode(signed),
                outcome=record.outcome.value,
                version=change.progress.version,
                loss=score.loss if score else None,
                accuracy=score.accuracy if score else None,
                archive=folder_name(change.key_epoch, change.round),
                archive_hash=digest(change.archive.files()),
            )
        )
        # The archive holds them from now on.
        connection.execute(delete(answers).where(answers.c.round_id == round_id))
        self._keep_progress(connection, job_id, change.progress, score)

    def _keep_progress(self, connection: Connection, job_id: int, progress: Progress, score: Scores | None) -> None:
        result_hash = sha256(progress.result)
        values: dict[str, object] = {
            "version": progress.version,
            "progress": sha256(progress.to_bytes()),
            "result": result_hash,
        }
        row = connection.execute(select(jobs.c.best_score, jobs.c.version).where(jobs.c.id == job_id)).one()
        rank = _rank(score)
        # Without a holdout the latest is the best that is known. A round that changed nothing, perhaps scored by nobody, is no news.
        if progress.version != row.version and (rank is None or row.best_score is None or rank > row.best_score):
            values |= {"best_version": progress.version, "best_result": result_hash, "best_score": rank}
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))


def _kept(one: AcceptedContribution) -> bytes:
    """The blob of an accepted contribution: its signed body and sealed shares. The masked vector is in the sum."""
    return encode(Contribution(one.verified.signed, b"", one.sealed_shares))


def _insert_roster(connection: Connection, signed: Signed, now_s: float) -> None:
    roster = decode(Roster, signed.content, max_bytes=MAX_ROSTER_BYTES)
    connection.execute(insert(rosters).values(serial=roster.serial, signed=encode(signed), kept_at=now_s))


def _open_round(connection: Connection, number: int) -> tuple[int, int]:
    """Row id and job id of the open round."""
    wanted = select(rounds.c.id, rounds.c.job_id).where(rounds.c.number == number, rounds.c.outcome.is_(None))
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise _second_process(f"round {number} is not open")
    return row.id, row.job_id


def _second_process(what: str) -> LocalError:
    return LocalError(Refusal.STATE_IN_USE, what, next_step="Is another orchestrator running on this store? Only one may.")


def _rank(score: Scores | None) -> float | None:
    """Greater is better: accuracy where there is one, else the loss, negated."""
    if score is None:
        return None
    return score.accuracy if score.accuracy is not None else -score.loss
