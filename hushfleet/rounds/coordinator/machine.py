"""The orchestrator's round: plan, collect, ask the committee, release or abort (PROTOCOL 5).

It reads sums only. What it knows of one contribution is a ciphertext and a proof.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from hushfleet.aggregation import OptimizerState
from hushfleet.codec import decode, encode
from hushfleet.documents import (
    EMPTY_JOURNAL,
    DecryptionRequest,
    Header,
    ModelResult,
    Outcome,
    RoundRecord,
    VerifiedPlan,
    VerifiedRoster,
    newer_roster,
    open_roster,
    sign_header,
    sign_plan,
    sign_record,
)
from hushfleet.encryption.sealing import SealingKey, unseal
from hushfleet.errors import FaultyMember, LocalError, PeerError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.randomness import Randomness
from hushfleet.rounds import machine
from hushfleet.rounds.cohort import cohort_of
from hushfleet.rounds.coordinator import publications
from hushfleet.rounds.coordinator.opening import Opened, open_batch
from hushfleet.rounds.effects import Effect, KeepAccepted, KeepOutcome, KeepRequest, KeepRoster, KeepRound, Note, Persist, Refused
from hushfleet.rounds.events import (
    AbortWanted,
    AnswerArrived,
    Connected,
    ContributionsArrived,
    DeadlinePassed,
    RosterArrived,
    RoundWanted,
)
from hushfleet.rounds.next_model import release
from hushfleet.rounds.plan_check import check_plan, nano_rho
from hushfleet.rounds.planning import Job, make_plan
from hushfleet.schemes.base import RoundTerms, VerifiedBody
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.signing import Signed, SigningKey, VerifyKey
from hushfleet.training import GlobalModel
from hushfleet.wire import Answer, SealedAnswer, answer_seal_context, decode_signed, encode_signed
from hushfleet.wire.limits import LIMITS


class Phase(Enum):
    """Where the round stands."""

    IDLE = auto()
    COLLECTING = auto()
    DECRYPTING = auto()


@dataclass(frozen=True, slots=True)
class Accepted:
    """A contribution that passed every check and is durable. `size` in bytes, sealed."""

    verified: VerifiedBody
    whole_hash: bytes
    size: int


@dataclass(frozen=True, slots=True)
class CoordinatorState:
    """All that the orchestrator remembers of its rounds.

    `last_round` is the highest round begun under each key id. `accepted` maps device ids to contributions, `answers` member
    indices to checked answers as signed; both belong to the round of `setting` or, once it has ended, of `closed`.
    """

    roster: VerifiedRoster
    model: GlobalModel
    optimizer_state: OptimizerState
    phase: Phase = Phase.IDLE
    last_round: Mapping[bytes, int] = field(default_factory=dict)
    setting: RoundTerms | None = None
    closed: VerifiedPlan | None = None
    started_ms: int = 0
    accepted: Mapping[str, Accepted] = field(default_factory=dict)
    request: DecryptionRequest | None = field(default=None, repr=False)
    answers: Mapping[int, tuple[Answer, Signed]] = field(default_factory=dict)
    record: Signed | None = None


CoordinatorStep = tuple[CoordinatorState, tuple[Effect, ...]]

Judge = Callable[[GlobalModel, GlobalModel], None]
"""Takes the model in force and the next one; raises `PeerError` if the next one must not be released. It depends on these alone."""


def no_objection(_: GlobalModel, __: GlobalModel) -> None:
    """The judge of a job without a holdout."""


@dataclass(frozen=True, slots=True)
class Coordinator:
    """What does not change during a job: keys, the pinned root key, the job, and when to stop collecting (default: the job's most).

    `judge` sees every new model before anybody else does. A round whose model it refuses is aborted.
    Raises `LocalError(SETTINGS_INVALID)` for a `target` below the job's `min_devices`.
    """

    signing_key: SigningKey
    sealing_key: SealingKey
    root: VerifyKey
    job: Job
    target: int | None = None
    insecure_keys: bool = False
    judge: Judge = no_objection

    def __post_init__(self) -> None:
        if self.enough < self.job.min_devices:
            text = f"a round cannot close at {self.enough} contributions: min_devices is {self.job.min_devices}"
            raise LocalError(Refusal.SETTINGS_INVALID, text)

    @property
    def enough(self) -> int:
        """Contributions at which a round closes before its deadline."""
        return min(self.target or self.job.max_devices, self.job.max_devices)

    def step(self, state: CoordinatorState, event: object, randomness: Randomness) -> CoordinatorStep:
        """Take one event. Raises `PhaseError`; a peer's fault is a `Refused` effect. In both cases the state is as it was."""
        return machine.step(_TABLE, self, state, event, randomness)


def _on_connected(_: Coordinator, state: CoordinatorState, __: Connected, ___: Randomness) -> CoordinatorStep:
    """Everything that the broker should retain, and what is in flight: a broker is a cache."""
    fleet = state.roster.roster.fleet
    effects = [publications.roster_publication(state.roster), publications.model_publication(fleet, state.model)]
    if state.record is not None:
        effects.append(publications.record_publication(state.record))
    # A crash may have come between the end of a round and the removal of its plan.
    effects.append(publications.plan_publication(state.setting.verified_plan) if state.setting else publications.plan_removal(fleet))
    if state.setting is not None and state.request is not None:
        effects.append(publications.request_publication(fleet, state.setting.plan.round, state.request))
    return state, tuple(effects)


def _on_roster(coordinator: Coordinator, state: CoordinatorState, event: RosterArrived, _: Randomness) -> CoordinatorStep:
    roster = newer_roster(state.roster, open_roster(decode_signed(event.data), coordinator.root))
    if roster.digest == state.roster.digest:
        return state, ()
    effects: tuple[Effect, ...] = ()
    if state.phase is not Phase.IDLE:
        state, effects = _abort(coordinator, state, "a new roster", state.started_ms)
    effects += (Persist((KeepRoster(roster.signed),)), publications.roster_publication(roster), publications.roster_removal(state.roster))
    return replace(state, roster=roster), effects


def _on_round(coordinator: Coordinator, state: CoordinatorState, event: RoundWanted, _: Randomness) -> CoordinatorStep:
    key_id = state.roster.key_id
    number = state.last_round.get(key_id, 0) + 1
    plan = sign_plan(make_plan(coordinator.job, state.roster, state.model, number), coordinator.signing_key)
    check_plan(plan, state.roster)
    state = replace(
        state,
        phase=Phase.COLLECTING,
        last_round={**state.last_round, key_id: number},
        setting=RoundTerms(plan, state.roster, coordinator.insecure_keys),
        started_ms=event.now_ms,
        accepted={},
        request=None,
        answers={},
    )
    return state, (Persist((KeepRound(key_id, number, plan.signed),)), publications.plan_publication(plan))


def _on_contributions(
    coordinator: Coordinator, state: CoordinatorState, event: ContributionsArrived, randomness: Randomness
) -> CoordinatorStep:
    """What passes every check is stored, then counted and receipted; a full cohort closes the round."""
    setting = _setting(state)
    held = {device_id: accepted.verified for device_id, accepted in state.accepted.items()}
    opened, rejected = open_batch(setting, coordinator.sealing_key, held, event.contributions, randomness)
    state, effects = _accept(coordinator, state, opened)
    for one in rejected:
        receipt = publications.receipt_publication(
            setting.verified_plan, one.device_id, sha256(one.sealed), coordinator.signing_key, one.error
        )
        effects += (Refused(one.error), receipt)
    if len(state.accepted) >= coordinator.enough:
        state, more = _close(coordinator, state)
        effects += more
    return state, effects


def _accept(coordinator: Coordinator, state: CoordinatorState, opened: list[Opened]) -> CoordinatorStep:
    """Store what is new as far as the cohort has room, then a receipt for each."""
    plan = _setting(state).verified_plan
    room = coordinator.enough - len(state.accepted)
    new = [one for one in opened if one.device_id not in state.accepted][:room]
    accepted = {**state.accepted, **{one.device_id: Accepted(one.verified, one.whole_hash, len(one.sealed)) for one in new}}
    effects: tuple[Effect, ...] = ()
    if new:
        effects = (Persist((KeepAccepted(plan.plan.round, tuple((one.device_id, one.sealed) for one in new)),)),)
    for one in opened:
        late = None if one.device_id in accepted else LocalError(Refusal.CONTRIBUTION_LATE, "the cohort is full")
        effects += (publications.receipt_publication(plan, one.device_id, one.whole_hash, coordinator.signing_key, late),)
    return replace(state, accepted=accepted), effects


def _on_late(coordinator: Coordinator, state: CoordinatorState, event: ContributionsArrived, _: Randomness) -> CoordinatorStep:
    """After the cohort is closed: a receipt, so that nobody sends for ever. What was accepted is told so again."""
    plan = state.setting.verified_plan if state.setting is not None else state.closed
    if plan is None:
        return state, (Note("contributions before any round"),)
    effects: list[Effect] = []
    for device_id, sealed in event.contributions:
        accepted = state.accepted.get(device_id)
        known = accepted is not None and accepted.whole_hash == sha256(sealed)
        late = None if known else LocalError(Refusal.CONTRIBUTION_LATE, "the round is closed")
        effects.append(publications.receipt_publication(plan, device_id, sha256(sealed), coordinator.signing_key, late))
    return state, tuple(effects)


def _on_deadline(coordinator: Coordinator, state: CoordinatorState, event: DeadlinePassed, _: Randomness) -> CoordinatorStep:
    least = _setting(state).plan.privacy.min_devices
    if state.phase is Phase.COLLECTING and len(state.accepted) >= least:
        return _close(coordinator, state)
    short = f"{len(state.accepted)} contributions, at least {least} are needed"
    if state.phase is Phase.DECRYPTING:
        short = f"{len(state.answers)} committee answers, {state.roster.threshold} are needed"
    return _abort(coordinator, state, short, event.now_ms)


def _close(coordinator: Coordinator, state: CoordinatorState) -> CoordinatorStep:
    """Ask the committee for the sum of what was accepted; the request is durable before it is sent."""
    setting = _setting(state)
    bodies = tuple(state.accepted[device_id].verified.signed for device_id in sorted(state.accepted))
    root = cohort_of(setting.plan_hash, bodies)
    header = Header(setting.plan.fleet, setting.plan.key_id, setting.plan.round, setting.plan_hash, root, len(bodies))
    request = DecryptionRequest(sign_header(header, coordinator.signing_key), setting.verified_plan.signed, bodies)
    state = replace(state, phase=Phase.DECRYPTING, request=request)
    send = publications.request_publication(setting.plan.fleet, setting.plan.round, request)
    return state, (Persist((KeepRequest(setting.plan.round, encode(request)),)), send)


def _on_answer(coordinator: Coordinator, state: CoordinatorState, event: AnswerArrived, _: Randomness) -> CoordinatorStep:
    setting = _setting(state)
    index = state.roster.member_index(event.device_id)
    if index in state.answers:
        return state, ()
    answer, signed = _open_answer(coordinator, state, event, index)
    bodies = [accepted.verified.body for accepted in state.accepted.values()]
    ORCHESTRATOR_SCHEMES[setting.plan.scheme].check_answer(setting, bodies, answer)
    state = replace(state, answers={**state.answers, index: (answer, signed)})
    if len(state.answers) < state.roster.threshold:
        return state, ()
    return _release(coordinator, state, event.now_ms)


def _open_answer(coordinator: Coordinator, state: CoordinatorState, event: AnswerArrived, index: int) -> tuple[Answer, Signed]:
    plan, request = _setting(state).plan, _request(state)
    context = answer_seal_context(plan.key_id, plan.round, index)
    plain = unseal(coordinator.sealing_key, Label.SEAL_ANSWER, context, event.data)
    signed = decode(SealedAnswer, plain, max_bytes=LIMITS.answer).answer
    content = VerifyKey(state.roster.device(event.device_id).verify_key).open(Label.ANSWER, signed)
    answer = decode(Answer, content, max_bytes=LIMITS.answer)
    if answer.index != index:
        raise FaultyMember(Refusal.ANSWER_MEMBER, index, f"answered as member {answer.index}")
    root = cohort_of(_setting(state).plan_hash, request.bodies)
    if (answer.key_id, answer.round, answer.plan_hash, answer.root) != (plan.key_id, plan.round, _setting(state).plan_hash, root):
        raise FaultyMember(Refusal.ANSWER_ROUND, index, "answered for another round or cohort")
    return answer, signed


def _release(coordinator: Coordinator, state: CoordinatorState, now_ms: int) -> CoordinatorStep:
    setting = _setting(state)
    try:
        optimizer_state, model = release(
            setting,
            {index: answer for index, (answer, _) in state.answers.items()},
            count=len(state.accepted),
            optimizer=coordinator.job.make_optimizer(),
            optimizer_state=state.optimizer_state,
            model=state.model,
        )
        coordinator.judge(state.model, model)
    except PeerError as error:
        state, effects = _abort(coordinator, state, error.reason.value, now_ms)
        return state, (Refused(error), *effects)
    done = replace(state, model=model, optimizer_state=optimizer_state)
    return _finish(state, done, _record(coordinator, state, Outcome.RELEASED, model=model, now_ms=now_ms))


def _on_abort(coordinator: Coordinator, state: CoordinatorState, event: AbortWanted, _: Randomness) -> CoordinatorStep:
    return _abort(coordinator, state, event.reason, event.now_ms)


def _abort(coordinator: Coordinator, state: CoordinatorState, reason: str, now_ms: int) -> CoordinatorStep:
    record = _record(coordinator, state, Outcome.ABORTED, model=state.model, now_ms=now_ms, reason=reason)
    return _finish(state, state, record)


def _record(
    coordinator: Coordinator, state: CoordinatorState, outcome: Outcome, *, model: GlobalModel, now_ms: int, reason: str = ""
) -> Signed:
    setting = _setting(state)
    record = RoundRecord(
        fleet=setting.plan.fleet,
        key_id=setting.plan.key_id,
        round=setting.plan.round,
        outcome=outcome,
        reason=reason,
        plan_hash=setting.plan_hash,
        root=cohort_of(setting.plan_hash, state.request.bodies) if state.request else b"",
        device_ids=tuple(sorted(state.accepted)),
        result=ModelResult(state.model.digest, model.digest, model.version, coordinator.job.optimizer),
        rho_nano=nano_rho(setting.plan, setting.roster),
        bytes_up=sum(accepted.size for accepted in state.accepted.values()),
        duration_ms=max(0, now_ms - state.started_ms),
        journal=EMPTY_JOURNAL,
    )
    return sign_record(record, coordinator.signing_key)


def _finish(state: CoordinatorState, done: CoordinatorState, record: Signed) -> CoordinatorStep:
    """Store the archive, then publish record and model and clear the plan. `done` holds the model in force from now on."""
    plan = _setting(state).plan
    archive = _archive(state, done.model, record)
    keep = KeepOutcome(state.roster.roster.key_epoch, plan.round, archive, done.model, done.optimizer_state.to_bytes())
    effects: tuple[Effect, ...] = (
        Persist((keep,)),
        publications.record_publication(record),
        publications.plan_removal(plan.fleet),
    )
    if state.record is not None:
        effects = (effects[0], publications.record_removal(state.record), *effects[1:])
    if done.model.digest != state.model.digest:
        effects += (publications.model_removal(plan.fleet, state.model), publications.model_publication(plan.fleet, done.model))
    closed = _setting(state).verified_plan
    return replace(done, phase=Phase.IDLE, setting=None, closed=closed, request=None, record=record), effects


def _archive(state: CoordinatorState, model: GlobalModel, record: Signed) -> tuple[tuple[str, bytes], ...]:
    """What an outsider needs to check the round: see `hushfleet.audit`."""
    files = {
        "roster": encode_signed(state.roster.signed),
        "plan": encode_signed(_setting(state).verified_plan.signed),
        "record": encode_signed(record),
        "model-before": state.model.to_bytes(),
        "model-after": model.to_bytes(),
    }
    if state.request is not None:
        files["request"] = encode(state.request)
    files |= {f"answer-{index}": encode_signed(signed) for index, (_, signed) in state.answers.items()}
    return tuple(sorted(files.items()))


def _setting(state: CoordinatorState) -> RoundTerms:
    if state.setting is None:
        raise LocalError(Refusal.PHASE, "no round is under way")
    return state.setting


def _request(state: CoordinatorState) -> DecryptionRequest:
    if state.request is None:
        raise LocalError(Refusal.PHASE, "no decryption is under way")
    return state.request


_ACTIVE = (Phase.COLLECTING, Phase.DECRYPTING)
_TABLE = machine.allowed(
    Phase,
    {Connected: _on_connected, RosterArrived: _on_roster},
    {
        (Phase.IDLE, RoundWanted): _on_round,
        (Phase.COLLECTING, ContributionsArrived): _on_contributions,
        (Phase.IDLE, ContributionsArrived): _on_late,
        (Phase.DECRYPTING, ContributionsArrived): _on_late,
        (Phase.DECRYPTING, AnswerArrived): _on_answer,
        **{(phase, DeadlinePassed): _on_deadline for phase in _ACTIVE},
        **{(phase, AbortWanted): _on_abort for phase in _ACTIVE},
    },
)
