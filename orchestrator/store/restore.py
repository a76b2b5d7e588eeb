"""From the store back to the coordinator's state, as of the last transaction."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from hushfleet.codec import decode
from hushfleet.documents import VerifiedPlan, open_plan
from hushfleet.errors import LocalError, Refusal
from hushfleet.rounds.cohort import open_body
from hushfleet.rounds.coordinator import ClosedRound, Collecting, Coordinator, CoordinatorMemory, CoordinatorState, Decrypting, NoRound
from hushfleet.rounds.effects import AcceptedContribution
from hushfleet.schemes.base import RoundTerms, Sum
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.signing import Signed
from hushfleet.typed import typed
from hushfleet.wire import Answer, Contribution, decode_decryption_request, decode_signed
from hushfleet.wire.limits import LIMITS
from orchestrator.store import journals
from orchestrator.store.roster import load_roster
from orchestrator.store.schema import accepted, answers, jobs, rounds
from orchestrator.store.store import Store


def coordinator_state(store: Store, coordinator: Coordinator, *, now_ms: int, now_s: float, read_back: bool = True) -> CoordinatorState:
    """The state of `coordinator`: the current job's progress, the open round with its plan, contributions, sum and request.

    `read_back` False: others have still to be asked what they hold of this orchestrator. `now_ms` is the monotonic clock and `now_s` the
    wall clock, which serves to state a round's duration and nothing else.
    Raises `LocalError(STORE_UNUSABLE)` for damage, `LocalError(JOB_UNKNOWN)` if no job was begun.
    """
    with store.engine.connect() as connection:
        job = connection.execute(select(jobs).order_by(jobs.c.id.desc()).limit(1)).one_or_none()
        if job is None:
            raise LocalError(Refusal.JOB_UNKNOWN, "no job was begun here", next_step=typed("orchestrator", "run", "job.toml"))
        begun = connection.execute(select(rounds.c.key_id, func.max(rounds.c.number)).group_by(rounds.c.key_id))
        memory = CoordinatorMemory(
            load_roster(connection, store.root),
            coordinator.job.task.restore(store.blobs.get(job.progress)),
            _last_rounds({row[0]: row[1] for row in begun}, journals.settled_floors(connection)),
            _record(connection),
            journals.head(connection),
            read_back,
        )
        latest = connection.execute(select(rounds).order_by(rounds.c.id.desc()).limit(1)).one_or_none()
        if latest is None:
            return NoRound(memory)
        plan = open_plan(decode_signed(latest.plan), coordinator.signing_key.verify_key)
        if latest.outcome is not None:
            return NoRound(memory, _closed(connection, plan, latest.id))
        terms = RoundTerms(plan, load_roster(connection, store.root, latest.roster_serial), coordinator.insecure_keys)
        started_ms = now_ms - max(0, int(1000 * (now_s - latest.began_at)))
        return _open(store, connection, Collecting(memory, terms, started_ms, _total(store, terms, latest.total)), latest)


def _last_rounds(begun: Mapping[bytes, int], floors: Mapping[bytes, int]) -> dict[bytes, int]:
    """The highest round per key id that was begun here, or that others hold."""
    return {key_id: max(begun.get(key_id, 0), floors.get(key_id, 0)) for key_id in {*begun, *floors}}


def _open(store: Store, connection: Connection, begun: Collecting, row: Any) -> CoordinatorState:  # noqa: ANN401 -- a row of `rounds`; SQLAlchemy's row types differ between its versions
    cohort = _accepted(store, connection, begun.terms, row.id)
    if row.request is None:
        return Collecting(begun.memory, begun.terms, begun.started_ms, begun.total, cohort)
    request = decode_decryption_request(store.blobs.get(row.request))
    return Decrypting(begun.memory, begun.terms, begun.started_ms, begun.total, cohort, request, _answers(connection, row.id))


def _answers(connection: Connection, round_id: int) -> Mapping[int, tuple[Answer, Signed]]:
    """Each was opened and checked before it was stored."""
    rows = connection.execute(select(answers.c.member_index, answers.c.signed).where(answers.c.round_id == round_id)).all()
    signed = {row.member_index: decode_signed(row.signed, max_bytes=LIMITS.answer) for row in rows}
    return {index: (decode(Answer, one.content, max_bytes=LIMITS.answer), one) for index, one in signed.items()}


def _total(store: Store, terms: RoundTerms, digest: bytes | None) -> Sum:
    scheme = ORCHESTRATOR_SCHEMES[terms.plan.scheme]
    return scheme.start(terms) if digest is None else scheme.restore(terms, store.blobs.get(digest))


def _accepted(store: Store, connection: Connection, terms: RoundTerms, round_id: int) -> Mapping[str, AcceptedContribution]:
    rows = connection.execute(select(accepted).where(accepted.c.round_id == round_id)).all()
    return {row.device_id: _contribution(terms, store.blobs.get(row.kept), row.whole_hash, row.size) for row in rows}


def _contribution(terms: RoundTerms, kept: bytes, whole_hash: bytes, size: int) -> AcceptedContribution:
    contribution = decode(Contribution, kept, max_bytes=LIMITS.contribution)
    return AcceptedContribution(open_body(terms, contribution.body), whole_hash, size, contribution.sealed_shares)


def _closed(connection: Connection, plan: VerifiedPlan, round_id: int) -> ClosedRound:
    rows = connection.execute(select(accepted.c.device_id, accepted.c.whole_hash).where(accepted.c.round_id == round_id))
    return ClosedRound(plan, {row.device_id: row.whole_hash for row in rows})


def _record(connection: Connection) -> Signed | None:
    query = select(rounds.c.record).where(rounds.c.record.is_not(None)).order_by(rounds.c.id.desc()).limit(1)
    record = connection.execute(query).scalar_one_or_none()
    return None if record is None else decode_signed(record)
