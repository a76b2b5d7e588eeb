"""From the store back to the coordinator's state, as of the last transaction."""

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from hushfleet.aggregation import OptimizerState
from hushfleet.documents import VerifiedPlan, open_plan
from hushfleet.encryption.sealing import SealingKey
from hushfleet.errors import LocalError, Refusal
from hushfleet.rounds.coordinator.machine import Accepted, Coordinator, CoordinatorState, Phase
from hushfleet.rounds.coordinator.opening import reopen
from hushfleet.schemes.base import RoundTerms
from hushfleet.signing import Signed
from hushfleet.training import GlobalModel
from hushfleet.wire import decode_decryption_request, decode_signed
from orchestrator.store.roster import load_roster
from orchestrator.store.schema import accepted, jobs, rounds
from orchestrator.store.store import Store


def coordinator_state(store: Store, coordinator: Coordinator, *, now_ms: int, now_s: float) -> CoordinatorState:
    """All that `Coordinator` remembers: the current job's model, the open round with its plan, contributions and request.

    `now_ms` is the monotonic clock and `now_s` the wall clock, which serves to state a round's duration and nothing else.
    Committee answers are not kept: the request is sent again, and members send their stored answers. Raises
    `LocalError(STORE_UNUSABLE)` for damage, `LocalError(JOB_UNKNOWN)` if no job was begun.
    """
    with store.engine.connect() as connection:
        job = connection.execute(select(jobs).order_by(jobs.c.id.desc()).limit(1)).one_or_none()
        if job is None:
            raise LocalError(Refusal.JOB_UNKNOWN, "no job was begun here", next_step="hushfleet orchestrator run job.toml")
        latest = connection.execute(select(rounds).order_by(rounds.c.id.desc()).limit(1)).one_or_none()
        begun = connection.execute(select(rounds.c.key_id, func.max(rounds.c.number)).group_by(rounds.c.key_id))
        common: dict[str, Any] = {
            "roster": load_roster(connection, store.root),
            "model": _model(store, job.model, job.version, coordinator.job.architecture.dimension),
            "optimizer_state": OptimizerState.from_bytes(store.blobs.get(job.optimizer_state)),
            "last_round": {row[0]: row[1] for row in begun},
            "record": _record(connection),
        }
        return CoordinatorState(**common, **_round(store, connection, coordinator, latest, now_ms=now_ms, now_s=now_s))


def _round(
    store: Store,
    connection: Connection,
    coordinator: Coordinator,
    row: Any,  # noqa: ANN401 -- a row of `rounds`, or None; SQLAlchemy's row types differ between its versions
    *,
    now_ms: int,
    now_s: float,
) -> Mapping[str, Any]:
    if row is None:
        return {}
    plan = open_plan(decode_signed(row.plan), coordinator.signing_key.verify_key)
    setting = RoundTerms(plan, load_roster(connection, store.root, row.roster_serial), coordinator.insecure_keys)
    held = {"accepted": _accepted(store, connection, coordinator.sealing_key, setting, row.id)}
    if row.outcome is not None:
        return {**held, "closed": plan}
    request = decode_decryption_request(store.blobs.get(row.request)) if row.request else None
    return {
        **held,
        "phase": Phase.COLLECTING if request is None else Phase.DECRYPTING,
        "setting": setting,
        "closed": _closed(connection, coordinator, row.id),
        "started_ms": now_ms - max(0, int(1000 * (now_s - row.began_at))),
        "request": request,
    }


def _accepted(
    store: Store, connection: Connection, sealing_key: SealingKey, setting: RoundTerms, round_id: int
) -> dict[str, Accepted]:
    rows = connection.execute(select(accepted.c.device_id, accepted.c.sealed).where(accepted.c.round_id == round_id)).all()
    opened = (reopen(setting, sealing_key, row.device_id, store.blobs.get(row.sealed)) for row in rows)
    return {one.device_id: Accepted(one.verified, one.whole_hash, len(one.sealed)) for one in opened}


def _closed(connection: Connection, coordinator: Coordinator, before: int) -> VerifiedPlan | None:
    query = select(rounds.c.plan).where(rounds.c.id < before).order_by(rounds.c.id.desc()).limit(1)
    plan = connection.execute(query).scalar_one_or_none()
    return None if plan is None else open_plan(decode_signed(plan), coordinator.signing_key.verify_key)


def _record(connection: Connection) -> Signed | None:
    query = select(rounds.c.record).where(rounds.c.record.is_not(None)).order_by(rounds.c.id.desc()).limit(1)
    record = connection.execute(query).scalar_one_or_none()
    return None if record is None else decode_signed(record)


def _model(store: Store, digest: bytes, version: int, dimension: int) -> GlobalModel:
    return GlobalModel.from_bytes(store.blobs.get(digest), version=version, dimension=dimension, max_abs=math.inf)
