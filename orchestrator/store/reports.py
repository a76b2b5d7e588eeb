"""Reports on a job, its rounds and its devices, from the store. Reads only, also while a job runs."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, select

from hushfleet.codec import decode
from hushfleet.documents import Outcome, RoundRecord, VerifiedPlan, VerifiedRoster, open_plan
from hushfleet.documents.archive import round_in
from hushfleet.documents.limits import MAX_RECORD_BYTES
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.signing import VerifyKey
from hushfleet.typed import typed
from hushfleet.wire import NOTHING_KNOWN, DeviceStatus, decode_signed
from orchestrator.absence import absence
from orchestrator.account import Account
from orchestrator.attendance import Attendance, attendance
from orchestrator.store import database
from orchestrator.store.accounts import read_accounts, read_statuses
from orchestrator.store.begun import BegunJob, begun_jobs
from orchestrator.store.blobs import Blobs
from orchestrator.store.roster import load_roster
from orchestrator.store.schema import accepted, floods, jobs, presence, rounds

if TYPE_CHECKING:  # with it comes numpy, which a status needs not
    from hushfleet.training import GlobalModel


_DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class RoundView:
    """One round of the current job. Times as ISO 8601 in UTC; what is not known yet is None."""

    number: int
    key_epoch: int | None
    state: str
    reason: str
    began_at: str
    ended_at: str | None
    contributions: int
    devices: tuple[str, ...]
    version: int | None
    accuracy: float | None
    loss: float | None
    rho_nano: int | None
    bytes_up: int | None
    duration_s: float | None
    archive: str | None


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One enrolled device: what it last said of itself, and when it last contributed."""

    device_id: str
    member: bool
    presence: str
    software: str
    heard_at: str | None
    contributions: int
    last_round: int | None
    last_at: str | None
    rho_spent_nano: int
    rho_left_nano: int
    stays_out: str | None
    """The reason why it stays out of the round it last saw, as it says."""
    certificate_days: int | None
    """Days until its certificate ends, as it says; None if it does not."""
    shown: str
    """The line that its owner lets everybody see."""
    dropped: int = 0
    """Its messages that were dropped unread because it sent more than its allowance."""
    dropped_at: str | None = None


@dataclass(frozen=True, slots=True)
class JobView:
    """The current job."""

    name: str
    state: str
    settings: str
    began_at: str
    released: int
    aborted: int
    version: int
    best_version: int
    rho_nano: int
    open_round: int | None
    contributions: int
    missing: int
    absence: str
    """The reasons why devices have not contributed to the open round, or that the next one waits for, for a person."""
    """Contributions that the open round still needs before it can close."""
    attendance: Attendance
    archive: str


class Reports:
    """A store, opened for reading."""

    def __init__(self, folder: Path, root: VerifyKey, url: str | None = None) -> None:
        """Raises `LocalError(STORE_UNUSABLE)` if there is none, or of another version."""
        self._folder, self._root = folder, root
        if not database.exists(folder, url):
            raise database.lost(str(folder))
        self._engine = database.connect(url or database.default_url(folder))
        try:
            database.require_current(self._engine)
        except LocalError:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def roster(self) -> VerifiedRoster:
        """The roster in force."""
        with self._engine.connect() as connection:
            return load_roster(connection, self._root)

    def jobs(self) -> tuple[BegunJob, ...]:
        """Every job that was begun, oldest first."""
        with self._engine.connect() as connection:
            return begun_jobs(connection)

    def accounts(self) -> tuple[Account, ...]:
        """The account of every enrolled device, in id order."""
        with self._engine.connect() as connection:
            return read_accounts(connection, load_roster(connection, self._root))

    def job(self, name: str | None = None) -> JobView | None:
        """The current job, or the latest of that name; None if there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(_newest(name)).one_or_none()
            if row is None:
                return None
            views = list(self._rounds(connection, row.id))
            roster = load_roster(connection, self._root)
            plan, said = _latest_plan(connection, roster), read_statuses(connection, roster)
        least = plan.plan.privacy.min_devices if plan else roster.policy.min_devices
        ended = [view for view in views if view.ended_at is not None]
        still = next((view for view in views if view.ended_at is None), None)
        return JobView(
            name=row.name,
            state="done" if row.ended_at is not None else "unfinished",
            settings=row.settings,
            began_at=_when(row.began_at) or "",
            released=sum(view.state == Outcome.RELEASED.value for view in ended),
            aborted=sum(view.state == Outcome.ABORTED.value for view in ended),
            version=row.version,
            best_version=row.best_version,
            rho_nano=sum(view.rho_nano or 0 for view in ended),
            open_round=still.number if still else None,
            contributions=still.contributions if still else 0,
            missing=max(0, least - still.contributions) if still else 0,
            attendance=attendance(roster, said, least),
            absence=_absence(roster, said, least, plan if still else None, still.devices if still else ()) if row.ended_at is None else "",
            archive=str(self._folder / "archive" / f"{row.id:03d}-{row.name}"),
        )

    def current(self, name: str | None = None) -> JobView:
        """As `job`. Raises `LocalError(JOB_UNKNOWN)` if there is none."""
        job = self.job(name)
        if job is None and name is not None and (begun := self.jobs()):
            there = ", ".join(dict.fromkeys(one.name for one in begun))
            raise LocalError(Refusal.JOB_UNKNOWN, f"no job {name} was begun here", next_step=f"There are: {there}.")
        if job is None:
            raise LocalError(Refusal.JOB_UNKNOWN, "no job was begun here", next_step=typed("orchestrator", "run", "job.toml"))
        return job

    def rounds(self, name: str | None = None) -> tuple[RoundView, ...]:
        """The rounds of the current job, or of the latest of that name, in order."""
        with self._engine.connect() as connection:
            row = connection.execute(_newest(name)).one_or_none()
            return tuple(self._rounds(connection, row.id)) if row is not None else ()

    def round(self, number: int) -> RoundView:
        """The latest round of this number. Raises `LocalError(ROUND_UNKNOWN)`."""
        found = [view for view in self.rounds() if view.number == number]
        if not found:
            raise LocalError(Refusal.ROUND_UNKNOWN, f"this job has no round {number}", next_step=typed("orchestrator", "rounds"))
        return found[-1]

    def devices(self) -> tuple[DeviceView, ...]:
        """Every enrolled device, in id order."""
        with self._engine.connect() as connection:
            roster = load_roster(connection, self._root)
            heard = {row.device_id: row for row in connection.execute(select(presence))}
            latest, said = _latest_contributions(connection), read_statuses(connection, roster)
            accounts = read_accounts(connection, roster)
            dropped = {row.device_id: (row.dropped, _when(row.last_at)) for row in connection.execute(select(floods))}
        committee = roster.roster.committee
        views = [
            _device_view(
                one,
                said.get(one.device_id),
                member=one.device_id in committee,
                heard=heard.get(one.device_id),
                latest=latest.get(one.device_id),
            )
            for one in accounts
        ]
        return tuple(
            replace(view, **dict(zip(("dropped", "dropped_at"), dropped.get(view.device_id, (0, None)), strict=True))) for view in views
        )

    def model(self, dimension: int, *, best: bool = False, name: str | None = None) -> "GlobalModel":
        """The model of the current job, or of the latest of that name. Raises `LocalError`: `JOB_UNKNOWN`, `STORE_UNUSABLE`."""
        from hushfleet.training import GlobalModel  # noqa: PLC0415 -- as above

        self.current(name)
        with self._engine.connect() as connection:
            row = connection.execute(_newest(name)).one()
        digest, version = (row.best_result, row.best_version) if best else (row.result, row.version)
        data = Blobs(self._folder / "blobs").get(digest)
        return GlobalModel.from_bytes(data, version=version, dimension=dimension, max_abs=math.inf)

    def _rounds(self, connection: Connection, job_id: int) -> Iterator[RoundView]:
        names: dict[int, list[str]] = {}
        of_job = select(accepted.c.round_id, accepted.c.device_id).join(rounds).where(rounds.c.job_id == job_id)
        for round_id, device_id in connection.execute(of_job.order_by(accepted.c.device_id)):
            names.setdefault(round_id, []).append(device_id)
        for row in connection.execute(select(rounds).where(rounds.c.job_id == job_id).order_by(rounds.c.id)):
            record = _record(row.record) if row.record else None
            yield RoundView(
                number=row.number,
                key_epoch=(round_in(row.archive) or (None,))[0] if row.archive else None,
                state=row.outcome or ("decrypting" if row.request else "collecting"),
                reason=record.reason if record else "",
                began_at=_when(row.began_at) or "",
                ended_at=_when(row.ended_at),
                contributions=len(names.get(row.id, [])),
                devices=tuple(names.get(row.id, [])),
                version=row.version,
                accuracy=row.accuracy,
                loss=row.loss,
                rho_nano=record.rho_nano if record else None,
                bytes_up=record.bytes_up if record else None,
                duration_s=record.duration_ms / 1000 if record else None,
                archive=row.archive,
            )


@contextmanager
def reading(folder: Path, root: VerifyKey, url: str | None = None) -> Iterator[Reports]:
    """A store for reading, closed at the end."""
    reports = Reports(folder, root, url)
    try:
        yield reports
    finally:
        reports.close()


def _latest_contributions(connection: Connection) -> dict[str, tuple[int, int, float]]:
    """Device id -> (contributions, latest round's number, when)."""
    found: dict[str, tuple[int, int, float]] = {}
    query = select(accepted.c.device_id, rounds.c.number, accepted.c.accepted_at).join(rounds).order_by(rounds.c.id)
    for device_id, number, at in connection.execute(query):
        found[device_id] = (found.get(device_id, (0, 0, 0.0))[0] + 1, number, at)
    return found


def _device_view(
    account: Account,
    status: DeviceStatus | None,
    *,
    member: bool,
    heard: object,
    latest: tuple[int, int, float] | None,
) -> DeviceView:
    silent = "never heard of" if heard is None else "unreadable"
    count, number, at = latest or (0, None, None)
    told = status.readiness if status else NOTHING_KNOWN
    return DeviceView(
        device_id=account.device_id,
        member=member,
        presence=status.presence.value if status else silent,
        software=status.software if status else "",
        heard_at=_when(getattr(heard, "heard_at", None)),
        contributions=count,
        last_round=number,
        last_at=_when(at),
        rho_spent_nano=account.spent_nano,
        rho_left_nano=account.left_nano,
        stays_out=told.out.value if told.out else None,
        certificate_days=told.certificate_day - int(time.time() // _DAY_S) if told.certificate_day else None,
        shown=told.shown,
    )


def _absence(
    roster: VerifiedRoster, said: Mapping[str, DeviceStatus], least: int, plan: VerifiedPlan | None, contributed: tuple[str, ...]
) -> str:
    found = absence(roster, said, least=least, plan=plan, accepted=contributed)
    return str(found) if plan is not None else found.reasons


def _latest_plan(connection: Connection, roster: VerifiedRoster) -> VerifiedPlan | None:
    data = connection.execute(select(rounds.c.plan).order_by(rounds.c.id.desc()).limit(1)).scalar_one_or_none()
    try:
        return None if data is None else open_plan(decode_signed(data), roster.orchestrator)
    except PeerError:  # of an orchestrator that was replaced
        return None


def _newest(name: str | None) -> Select[Any]:
    """The latest job, or the latest of that name."""
    wanted = select(jobs) if name is None else select(jobs).where(jobs.c.name == name)
    return wanted.order_by(jobs.c.id.desc()).limit(1)


def _record(data: bytes) -> RoundRecord:
    return decode(RoundRecord, decode_signed(data).content, max_bytes=MAX_RECORD_BYTES)


def _when(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
