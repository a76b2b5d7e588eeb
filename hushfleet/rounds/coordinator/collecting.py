"""The handlers of a round's beginning: a plan goes out, contributions come in, the cohort closes (PROTOCOL 5.1, 5.3)."""

from dataclasses import replace

from hushfleet.codec import encode
from hushfleet.documents import DecryptionRequest, Header, sign_header, sign_plan
from hushfleet.errors import LocalError, PhaseError, Refusal
from hushfleet.labels import sha256
from hushfleet.randomness import Randomness
from hushfleet.rounds.cohort import cohort_of
from hushfleet.rounds.coordinator import publications
from hushfleet.rounds.coordinator.closing import closed_round
from hushfleet.rounds.coordinator.machine import (
    TRANSITIONS,
    Collecting,
    Coordinator,
    CoordinatorState,
    CoordinatorStep,
    Decrypting,
    NoRound,
)
from hushfleet.rounds.coordinator.opening import Opened, open_batch
from hushfleet.rounds.effects import AcceptedContribution, Effect, KeepAccepted, KeepRequest, KeepRound, Note, Persist, Refused
from hushfleet.rounds.events import Connected, ContributionsArrived, DeadlinePassed, ReadBack, RoundWanted
from hushfleet.rounds.journal import advanced
from hushfleet.rounds.plan_check import check_plan
from hushfleet.rounds.planning import make_plan
from hushfleet.schemes.base import RoundTerms
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES


@TRANSITIONS.on(RoundWanted)
def _on_round(coordinator: Coordinator, state: NoRound, event: RoundWanted, _: Randomness) -> CoordinatorStep:
    memory = state.memory
    if not memory.read_back:
        raise PhaseError("it is not known yet what others hold of this orchestrator")
    key_id = memory.roster.key_id
    number = memory.last_round.get(key_id, event.seen) + 1
    plan = sign_plan(make_plan(coordinator.job, memory.roster, memory.progress, number, memory.journal), coordinator.signing_key)
    check_plan(plan, memory.roster, ORCHESTRATOR_SCHEMES)
    terms = RoundTerms(plan, memory.roster, coordinator.insecure_keys)
    total = ORCHESTRATOR_SCHEMES[plan.plan.scheme].start(terms)
    keep = KeepRound(key_id, number, plan.signed)
    memory = replace(memory, last_round={**memory.last_round, key_id: number}, journal=advanced(memory.journal, (keep,)))
    return Collecting(memory, terms, event.now_ms, total), (Persist((keep,)), publications.plan_publication(plan))


@TRANSITIONS.on(ContributionsArrived, Collecting)
def _on_contributions(coordinator: Coordinator, state: Collecting, event: ContributionsArrived, randomness: Randomness) -> CoordinatorStep:
    """Store, count and receipt what passes every check; a full cohort closes the round."""
    held = {device_id: accepted.verified for device_id, accepted in state.accepted.items()}
    opened, rejected = open_batch(
        state.terms, coordinator.sealing_key, held, event.contributions, randomness, executor=coordinator.executor
    )
    state, effects = _accept(coordinator, state, opened)
    for one in rejected:
        receipt = publications.receipt_publication(
            state.terms.verified_plan, one.device_id, sha256(one.sealed), coordinator.signing_key, one.error
        )
        effects += (Refused(one.error), receipt)
    if len(state.accepted) < coordinator.enough or not state.memory.read_back:
        return state, effects
    closed, more = _close(coordinator, state)
    return closed, effects + more


def _accept(coordinator: Coordinator, state: Collecting, opened: list[Opened]) -> tuple[Collecting, tuple[Effect, ...]]:
    """Store what has not been accepted before as far as the cohort has room, then a receipt for each."""
    plan = state.terms.verified_plan
    room = coordinator.enough - len(state.accepted)
    added = [one for one in opened if one.device_id not in state.accepted][:room]
    total = state.total
    for one in added:
        total = total.add(one.contribution)
    fresh = tuple(
        AcceptedContribution(one.contribution.verified, one.whole_hash, len(one.sealed), one.contribution.sealed_shares) for one in added
    )
    accepted = {**state.accepted, **{one.device_id: one for one in fresh}}
    effects: tuple[Effect, ...] = (Persist((KeepAccepted(plan.plan.round, fresh, total.to_bytes()),)),) if fresh else ()
    for one in opened:
        late = None if one.device_id in accepted else LocalError(Refusal.CONTRIBUTION_LATE, "the cohort is full")
        effects += (publications.receipt_publication(plan, one.device_id, one.whole_hash, coordinator.signing_key, late),)
    return replace(state, accepted=accepted, total=total), effects


@TRANSITIONS.on(DeadlinePassed, Collecting)
def _on_deadline(coordinator: Coordinator, state: Collecting, _: DeadlinePassed, __: Randomness) -> CoordinatorStep:
    """With too few the collection goes on: what devices have paid for is not given up for lack of time."""
    return (state, ()) if state.missing or not state.memory.read_back else _close(coordinator, state)


@TRANSITIONS.on(ReadBack, NoRound, Collecting)
def _on_read_back(coordinator: Coordinator, state: NoRound | Collecting, _: ReadBack, __: Randomness) -> CoordinatorStep:
    """From now on documents are signed: a cohort that is full closes."""
    state = replace(state, memory=replace(state.memory, read_back=True))
    full = isinstance(state, Collecting) and len(state.accepted) >= coordinator.enough
    return _close(coordinator, state) if full and isinstance(state, Collecting) else (state, ())


def _close(coordinator: Coordinator, state: Collecting) -> CoordinatorStep:
    """Ask the committee for the sum of what was accepted; the request is durable before it is sent."""
    terms = state.terms
    bodies = tuple(state.accepted[device_id].verified.signed for device_id in sorted(state.accepted))
    root = cohort_of(terms.plan_hash, bodies)
    header = Header(terms.plan.fleet, terms.plan.key_id, terms.plan.round, terms.plan_hash, root, len(bodies))
    request = DecryptionRequest(sign_header(header, coordinator.signing_key), terms.verified_plan.signed, bodies)
    kept = KeepRequest(terms.plan.round, encode(request))
    memory = replace(state.memory, journal=advanced(state.memory.journal, (kept,)))
    after = Decrypting(memory, terms, state.started_ms, state.total, state.accepted, request)
    keep = Persist((kept,))
    # Nobody may begin, and pay for, what cannot be counted any more.
    return after, (keep, publications.plan_removal(terms.plan.fleet), *publications.committee_publications(after))


@TRANSITIONS.on(ContributionsArrived, NoRound, Decrypting)
def _on_late(coordinator: Coordinator, state: NoRound | Decrypting, event: ContributionsArrived, _: Randomness) -> CoordinatorStep:
    """Receipts for contributions to a closed cohort, so that nobody sends for ever: accepted ones are told so again."""
    closed = state.closed if isinstance(state, NoRound) else closed_round(state)
    if closed is None:
        return state, (Note("contributions before any round"),)
    effects: list[Effect] = []
    for device_id, sealed in event.contributions:
        known = closed.accepted.get(device_id) == sha256(sealed)
        late = None if known else LocalError(Refusal.CONTRIBUTION_LATE, "the round is closed")
        effects.append(publications.receipt_publication(closed.plan, device_id, sha256(sealed), coordinator.signing_key, late))
    return state, tuple(effects)


@TRANSITIONS.on(Connected)
def _on_connected(_: Coordinator, state: CoordinatorState, __: Connected, ___: Randomness) -> CoordinatorStep:
    """Publish everything that the broker should retain, and what is in flight: a broker is a cache."""
    memory = state.memory
    fleet = memory.roster.roster.fleet
    effects = [publications.roster_publication(memory.roster), *publications.progress_publications(fleet, memory.progress)]
    if memory.record is not None:
        effects.append(publications.record_publication(memory.record))
    if isinstance(state, Collecting):
        effects.append(publications.plan_publication(state.terms.verified_plan))
    else:
        # A crash may have come between the close of a round and the removal of its plan.
        effects.append(publications.plan_removal(fleet))
    if isinstance(state, Decrypting):
        effects += publications.committee_publications(state)
    return state, tuple(effects)
