"""The handlers of a round's second half: answers come in, the sum is opened, the round is released (PROTOCOL 5.4, 5.5)."""

from collections.abc import Mapping
from dataclasses import replace

from hushfleet.codec import decode
from hushfleet.documents import Outcome
from hushfleet.encryption.sealing import unseal
from hushfleet.errors import FaultyMember, LocalError, PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.randomness import Randomness
from hushfleet.rounds.cohort import cohort_of
from hushfleet.rounds.coordinator.closing import aborted, finished
from hushfleet.rounds.coordinator.machine import TRANSITIONS, Coordinator, CoordinatorStep, Decrypting
from hushfleet.rounds.effects import DropReceivedAnswer, KeepReceivedAnswer, Note, Persist, Refused
from hushfleet.rounds.events import AnswerArrived, ReadBack
from hushfleet.rounds.release import release
from hushfleet.signing import Signed, VerifyKey
from hushfleet.wire import Answer, SealedAnswer, answer_seal_context
from hushfleet.wire.limits import LIMITS


@TRANSITIONS.on(AnswerArrived)
def _on_answer(coordinator: Coordinator, state: Decrypting, event: AnswerArrived, _: Randomness) -> CoordinatorStep:
    roster = state.memory.roster
    index = roster.member_index(event.device_id)
    if index in state.answers or index in state.refuted:
        return state, ()
    answer, signed = _open_answer(coordinator, state, event, index)
    state.total.check_answer(answer)
    state = replace(state, answers={**state.answers, index: (answer, signed)})
    kept = KeepReceivedAnswer(state.terms.plan.round, index, signed)
    if len(state.answers) < roster.threshold or not state.memory.read_back:
        return state, (Persist((kept,)),)
    return _opened(coordinator, state, event.now_ms, kept)


@TRANSITIONS.on(ReadBack, Decrypting)
def _on_read_back(coordinator: Coordinator, state: Decrypting, _: ReadBack, __: Randomness) -> CoordinatorStep:
    """From now on documents are signed: a sum for which enough answers came meanwhile is opened."""
    state = replace(state, memory=replace(state.memory, read_back=True))
    return (state, ()) if len(state.answers) < state.memory.roster.threshold else _opened(coordinator, state, state.started_ms)


def _opened(coordinator: Coordinator, state: Decrypting, now_ms: int, *kept: KeepReceivedAnswer) -> CoordinatorStep:
    """The release, or the round without the answers that are proven wrong. `kept` is stored with what the store then forgets."""
    after, effects = _release(coordinator, state, now_ms)
    if not isinstance(after, Decrypting):
        return after, effects  # the outcome's transaction holds the answers
    dropped = (DropReceivedAnswer(state.terms.plan.round, wrong) for wrong in state.answers if wrong not in after.answers)
    return after, (Persist((*kept, *dropped)), *effects)


def _open_answer(coordinator: Coordinator, state: Decrypting, event: AnswerArrived, index: int) -> tuple[Answer, Signed]:
    plan = state.terms.plan
    context = answer_seal_context(plan.key_id, plan.round, index)
    plain = unseal(coordinator.sealing_key, Label.SEAL_ANSWER, context, event.data)
    signed = decode(SealedAnswer, plain, max_bytes=LIMITS.answer).answer
    content = VerifyKey(state.memory.roster.device(event.device_id).verify_key).open(Label.ANSWER, signed)
    answer = decode(Answer, content, max_bytes=LIMITS.answer)
    if answer.index != index:
        raise FaultyMember(Refusal.ANSWER_MEMBER, index, f"answered as member {answer.index}")
    root = cohort_of(state.terms.plan_hash, state.request.bodies)
    if (answer.key_id, answer.round, answer.plan_hash, answer.root) != (plan.key_id, plan.round, state.terms.plan_hash, root):
        raise FaultyMember(Refusal.ANSWER_ROUND, index, "answered for another round or cohort")
    return answer, signed


def _release(coordinator: Coordinator, state: Decrypting, now_ms: int) -> CoordinatorStep:
    answers = {index: answer for index, (answer, _) in state.answers.items()}
    try:
        total = state.total.open(answers, executor=coordinator.executor)
    except LocalError as error:
        return state, (Note(error.message),)
    except PeerError as error:
        faulty = state.total.faulty(answers)
        return _without(coordinator, state, faulty, now_ms) if faulty else _misfit(coordinator, state, error, now_ms)
    try:
        progress = release(state.terms, total, coordinator.job.task, state.memory.progress, count=len(state.accepted))
        coordinator.job.task.approve(state.memory.progress, progress)
    except PeerError as error:
        return _misfit(coordinator, state, error, now_ms)
    return finished(coordinator, state, Outcome.RELEASED, progress, now_ms=now_ms)


def _without(coordinator: Coordinator, state: Decrypting, faulty: Mapping[int, FaultyMember], now_ms: int) -> CoordinatorStep:
    """Go on without the answers that are proven wrong: the others open the sum, or the round waits for more."""
    roster, named = state.memory.roster, tuple(Refused(error) for error in faulty.values())
    answers = {index: held for index, held in state.answers.items() if index not in faulty}
    state = replace(state, answers=answers, refuted=state.refuted | frozenset(faulty))
    if len(state.refuted) > roster.roster.f:
        text = f"the answers of {len(state.refuted)} members are proven wrong, more than the {roster.roster.f} that may be faulty"
        after, effects = _misfit(coordinator, state, PeerError(Refusal.COMBINE_RESIDUE, text), now_ms)
    else:
        after, effects = (state, ()) if len(answers) < roster.threshold else _release(coordinator, state, now_ms)
    return after, (*named, *effects)


def _misfit(coordinator: Coordinator, state: Decrypting, error: PeerError, now_ms: int) -> CoordinatorStep:
    after, effects = aborted(coordinator, state, error.reason.value, now_ms)
    return after, (Refused(error), *effects)
