"""The end of a round: its record, its archive, and what devices are told of it (PROTOCOL 5.5, 5.6)."""

from dataclasses import replace

from hushfleet.documents import Outcome, RoundRecord, sign_record
from hushfleet.documents.archive import RoundArchive
from hushfleet.randomness import Randomness
from hushfleet.rounds.cohort import cohort_of
from hushfleet.rounds.coordinator import publications
from hushfleet.rounds.coordinator.machine import (
    TRANSITIONS,
    ClosedRound,
    Coordinator,
    CoordinatorState,
    CoordinatorStep,
    Decrypting,
    NoRound,
    Open,
)
from hushfleet.rounds.effects import Effect, KeepOutcome, KeepRoster, Persist, Refused
from hushfleet.rounds.events import AbortWanted, RosterArrived
from hushfleet.rounds.journal import advanced
from hushfleet.rounds.plan_check import nano_rho
from hushfleet.rounds.roster_change import NewRoster, RosterConflict, SameRoster, decide_roster
from hushfleet.rounds.tasks.base import Progress
from hushfleet.signing import Signed
from hushfleet.wire import encode_signed


@TRANSITIONS.on(RosterArrived)
def _on_roster(coordinator: Coordinator, state: CoordinatorState, event: RosterArrived, _: Randomness) -> CoordinatorStep:
    match decide_roster(state.memory.roster, event.data, coordinator.root):
        case SameRoster():
            return state, ()
        case RosterConflict(_, error):
            return state, (Refused(error),)
        case NewRoster(roster):
            effects: tuple[Effect, ...] = ()
            before = state.memory.roster
            if not isinstance(state, NoRound):
                state, effects = aborted(coordinator, state, "a new roster", state.started_ms)
            effects += (
                Persist((KeepRoster(roster.signed),)),
                publications.roster_publication(roster),
                publications.roster_removal(before),
                *publications.status_removals(before, roster),
            )
            return replace(state, memory=replace(state.memory, roster=roster)), effects


@TRANSITIONS.on(AbortWanted)
def _on_abort(coordinator: Coordinator, state: Open, event: AbortWanted, _: Randomness) -> CoordinatorStep:
    return aborted(coordinator, state, event.reason, event.now_ms)


def aborted(coordinator: Coordinator, state: Open, reason: str, now_ms: int) -> tuple[NoRound, tuple[Effect, ...]]:
    """The round ends without a release; the task's state stays as it is."""
    return finished(coordinator, state, Outcome.ABORTED, state.memory.progress, now_ms=now_ms, reason=reason)


def finished(
    coordinator: Coordinator, state: Open, outcome: Outcome, progress: Progress, *, now_ms: int, reason: str = ""
) -> tuple[NoRound, tuple[Effect, ...]]:
    """Store record, archive and `progress`, the task's state from now on; then publish them and clear the plan."""
    memory, fleet = state.memory, state.terms.plan.fleet
    record = _record(coordinator, state, outcome, progress, now_ms=now_ms, reason=reason)
    keep = KeepOutcome(memory.roster.roster.key_epoch, state.terms.plan.round, _archive(state, progress, record), progress)
    effects: tuple[Effect, ...] = (
        Persist((keep,)),
        *((publications.record_removal(memory.record),) if memory.record is not None else ()),
        publications.record_publication(record),
        publications.plan_removal(fleet),
        *publications.progress_changes(fleet, memory.progress, progress),
    )
    memory = replace(memory, progress=progress, record=record, journal=advanced(memory.journal, (keep,)))
    return NoRound(memory, closed_round(state)), effects


def closed_round(state: Open) -> ClosedRound:
    """The part of an open round that outlives it."""
    accepted = {name: one.whole_hash for name, one in state.accepted.items()}
    return ClosedRound(state.terms.verified_plan, accepted, len(state.answers) if isinstance(state, Decrypting) else 0)


def _record(coordinator: Coordinator, state: Open, outcome: Outcome, progress: Progress, *, now_ms: int, reason: str) -> Signed:
    terms = state.terms
    record = RoundRecord(
        fleet=terms.plan.fleet,
        key_id=terms.plan.key_id,
        round=terms.plan.round,
        outcome=outcome,
        reason=reason,
        plan_hash=terms.plan_hash,
        root=cohort_of(terms.plan_hash, state.request.bodies) if isinstance(state, Decrypting) else b"",
        device_ids=tuple(sorted(state.accepted)),
        result=coordinator.job.task.result(state.memory.progress, progress),
        journal=state.memory.journal,
        rho_nano=nano_rho(terms.plan, terms.roster) if state.accepted else 0,
        bytes_up=sum(accepted.size for accepted in state.accepted.values()),
        duration_ms=max(0, now_ms - state.started_ms),
    )
    return sign_record(record, coordinator.signing_key)


def _archive(state: Open, progress: Progress, record: Signed) -> RoundArchive:
    archive = RoundArchive(
        state.terms.roster.signed, state.terms.verified_plan.signed, record, state.memory.progress.result, progress.result
    )
    if not isinstance(state, Decrypting):
        return archive
    answers = {index: encode_signed(signed) for index, (_, signed) in state.answers.items()}
    return replace(archive, request=state.request, total=state.total.archived(), answers=answers)
