"""A committee member: at most one answer per round, for a sum it formed itself (PROTOCOL 5.4).

Who speaks. The owner sends rosters and, in a bundle, key shares. The orchestrator sends decryption requests and, on the member's
inbox, key shares and the sealed shares of a cohort. The member sends answers, the same bytes as often as needed, and evidence.

What is durable before what leaves. Root, header and finished answer of a round are one transaction, and only then does the answer
leave. A roster of another key erases the key share in the transaction that stores the roster. The checks of a request come in the
protocol's order, and nothing is recorded before all have passed.

What a refusal leaves behind. A refused request leaves the state as it was; so the same request may be answered later. A request
that names a newer roster, or whose shares or key share are not here yet, waits; a delivery of shares with which it fails changes
nothing, and a newer request takes its place. A second root for an answered round is answered with evidence: both signed headers
and nothing else.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from hushfleet.codec import encode
from hushfleet.documents import NO_SHARE, DecryptionRequest, GrantedShare, Header, VerifiedRoster, open_grant, open_header, open_plan
from hushfleet.encryption.sealing import SealingKey, SealingPublicKey, seal, unseal
from hushfleet.errors import FaultyOrchestrator, FaultyOwner, LocalError, PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.randomness import Randomness
from hushfleet.rounds.cohort import cohort_of, open_bodies
from hushfleet.rounds.effects import (
    Alert,
    Change,
    DropShare,
    Effect,
    KeepAnswer,
    KeepRoster,
    KeepShare,
    KeepStop,
    Note,
    Persist,
    Publish,
    Refused,
)
from hushfleet.rounds.events import Connected, GrantArrived, InboxArrived, ReadBack, RequestArrived, RolledBack, RosterArrived
from hushfleet.rounds.evidence import verify_evidence
from hushfleet.rounds.machine import Transitions
from hushfleet.rounds.plan_check import check_plan
from hushfleet.rounds.roster_change import NewRoster, RosterConflict, SameRoster, decide_roster
from hushfleet.schemes.base import MemberKeys, MemberScheme, RoundTerms, VerifiedBody
from hushfleet.schemes.members import MEMBER_SCHEMES
from hushfleet.signing import Signed, SigningKey, VerifyKey
from hushfleet.wire import (
    Answer,
    Evidence,
    KeyShareDelivery,
    Kind,
    SealedAnswer,
    SharesDelivery,
    Topic,
    answer_seal_context,
    decode_decryption_request,
    decode_inbox,
)


@dataclass(frozen=True, slots=True)
class Answered:
    """The one root that this member answered for, in the latest round of a key, and the answer it gives again."""

    round: int
    root: bytes
    header: Signed = field(repr=False)
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MemberMemory:
    """The durable log, one database with the key share: the latest answer per key id, and the key ids under which none is given.

    `rolled_back` are the key ids under which this log has forgotten something, until a new deal; `read_back` is False from a start until
    it is known what others hold of this member (PROTOCOL 8).
    """

    answered: Mapping[bytes, Answered] = field(default_factory=dict)
    stopped: frozenset[bytes] = frozenset()
    rolled_back: frozenset[bytes] = frozenset()
    read_back: bool = True


@dataclass(frozen=True, slots=True)
class Unenrolled:
    """A member before its first roster."""

    memory: MemberMemory = MemberMemory()


@dataclass(frozen=True, slots=True)
class Ready:
    """A member that answers. `share` is its granted share of the key in force, empty before there is one; it is durable, too."""

    memory: MemberMemory
    roster: VerifiedRoster
    share: GrantedShare = NO_SHARE
    shares: SharesDelivery | None = field(default=None, repr=False)
    """The latest delivery of a cohort's sealed shares, for a scheme that has them."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A member that has a request, as it arrived, which it cannot judge yet: a roster or share is on its way."""

    memory: MemberMemory
    roster: VerifiedRoster
    request: bytes = field(repr=False)
    share: GrantedShare = NO_SHARE
    shares: SharesDelivery | None = field(default=None, repr=False)


Enrolled = Ready | Waiting
MemberState = Unenrolled | Enrolled
MemberStep = tuple[MemberState, tuple[Effect, ...]]

_ENROLLED = (Ready, Waiting)

TRANSITIONS = Transitions(
    {
        (Unenrolled, RosterArrived): (Ready,),
        (Unenrolled, Connected): (Unenrolled,),
        (Ready, RosterArrived): (Ready,),
        (Waiting, RosterArrived): (Ready, Waiting),
        **{(phase, GrantArrived): (phase, Ready, Waiting) for phase in _ENROLLED},
        **{(phase, InboxArrived): (phase, Ready, Waiting) for phase in _ENROLLED},
        **{(phase, RequestArrived): (phase, Ready, Waiting) for phase in _ENROLLED},
        **{(phase, Connected): (phase,) for phase in _ENROLLED},
        (Unenrolled, ReadBack): (Unenrolled,),
        **{(phase, ReadBack): (phase, Ready, Waiting) for phase in _ENROLLED},
        **{(phase, RolledBack): (Ready,) for phase in _ENROLLED},
    }
)


@dataclass(frozen=True, slots=True)
class Member:
    """The part of a member that never changes: its identity and the pinned root key.

    `executor`: threads on which a heavy answer is spread. `insecure_keys` is for tests.
    """

    device_id: str
    signing_key: SigningKey
    sealing_key: SealingKey
    root: VerifyKey
    insecure_keys: bool = False
    executor: Executor | None = None

    def step(self, state: MemberState, event: object, randomness: Randomness) -> MemberStep:
        """Take one event. Raises `PhaseError`; a peer's fault is a `Refused` effect. In both cases the state is as it was."""
        return TRANSITIONS.step(self, state, event, randomness)

    def keys(self, roster: VerifiedRoster, share: GrantedShare) -> MemberKeys:
        """Everything this member may open sums with. Raises `PeerError(NOT_ENROLLED)` off the committee."""
        return MemberKeys(roster.member_index(self.device_id), self.sealing_key, share)


@TRANSITIONS.on(RosterArrived)
def _on_roster(member: Member, state: MemberState, event: RosterArrived, randomness: Randomness) -> MemberStep:
    before = None if isinstance(state, Unenrolled) else state.roster
    match decide_roster(before, event.data, member.root):
        case SameRoster():
            return state, ()
        case RosterConflict(stop, error):
            memory = replace(state.memory, stopped=state.memory.stopped | {stop.key_id})
            alarm = Persist((stop,)), Alert(f"{error} This member stops answering under this key.")
            return replace(state, memory=memory), (Refused(error), *alarm)
        case NewRoster(roster):
            changes: tuple[Change, ...] = (KeepRoster(roster.signed),)
            if isinstance(state, Unenrolled):
                return Ready(state.memory, roster), (Persist(changes),)
            if roster.key_id != state.roster.key_id:
                changes += (DropShare(state.roster.key_id),)
                state = replace(state, share=NO_SHARE, shares=None)
            after, effects = _judge_waiting(member, replace(state, roster=roster), randomness)
            return after, (Persist(changes), *effects)


def _judge_waiting(member: Member, state: Enrolled, randomness: Randomness) -> MemberStep:
    """The request that waited, now that something has come. A step of its own: its refusal keeps nothing else out."""
    if isinstance(state, Ready):
        return state, ()
    return member.step(_ready(state), RequestArrived(state.request), randomness)


@TRANSITIONS.on(InboxArrived)
def _on_inbox(member: Member, state: Enrolled, event: InboxArrived, randomness: Randomness) -> MemberStep:
    item = decode_inbox(event.data).item
    if isinstance(item, KeyShareDelivery):
        return member.step(state, GrantArrived(item.sealed), randomness)
    after, effects = _judge_waiting(member, replace(state, shares=item), randomness)
    # Nobody signs a delivery: one with which the waiting request fails must not end the waiting for the right one.
    refused = isinstance(state, Waiting) and any(isinstance(effect, Refused) for effect in effects)
    return (state if refused else after), effects


@TRANSITIONS.on(GrantArrived)
def _on_grant(member: Member, state: Enrolled, event: GrantArrived, randomness: Randomness) -> MemberStep:
    roster = state.roster
    index = roster.member_index(member.device_id)
    plain = unseal(member.sealing_key, Label.SEAL_KEY_SHARE, roster.key_id, event.data)
    grant = open_grant(plain, member.root, member_id=member.device_id, key_id=roster.key_id)
    if grant.index != index:
        raise PeerError(Refusal.SHARE_FOR_ANOTHER, f"a share for index {grant.index}, this member has {index}")
    share = GrantedShare(grant.share)
    for scheme in MEMBER_SCHEMES.values():
        scheme.check_keys(roster, member.keys(roster, share), insecure_keys=member.insecure_keys)
    if state.share:
        return state, (Note("the share of this key is held already"),)
    after, effects = _judge_waiting(member, replace(state, share=share), randomness)
    return after, (Persist((KeepShare(roster.key_id, grant.share),)), *effects)


@TRANSITIONS.on(RequestArrived)
def _on_request(member: Member, state: Enrolled, event: RequestArrived, randomness: Randomness) -> MemberStep:
    roster = state.roster
    request = decode_decryption_request(event.data)
    header = open_header(request.header, roster.orchestrator)
    if header.key_id in state.memory.stopped:
        raise FaultyOwner(Refusal.ROSTER_CONFLICT, "two rosters carry one serial: this member has stopped")
    if header.key_id in state.memory.rolled_back:
        raise forgotten()
    if not state.memory.read_back:
        return _waiting(state, event), ()
    before = state.memory.answered.get(header.key_id)
    if before is not None and header.round <= before.round:
        return state, _again(member, roster, header, request.header, before)
    terms = _check_plan(member, roster, header, request)
    if terms is None:
        return _waiting(state, event), (Note(f"round {header.round} waits for a newer roster"),)
    bodies = _check_cohort(terms, header, request)
    scheme = MEMBER_SCHEMES[terms.plan.scheme]
    try:
        keys, shares = _means(member, scheme, state, header)
    except LocalError as error:
        return _waiting(state, event), (Note(f"round {header.round} waits: {error.message}"),)
    scheme.check(terms, bodies, randomness, executor=member.executor)
    update = scheme.answer(terms, keys, header.root, bodies, randomness, shares=shares, executor=member.executor)
    answer = Answer(header.key_id, header.round, header.plan_hash, header.root, keys.index, update.items, update.proof)
    done = Answered(header.round, header.root, request.header, _sealed(member, roster, answer))
    keep = KeepAnswer(header.key_id, header.round, header.root, request.header, done.sealed)
    memory = replace(state.memory, answered={**state.memory.answered, header.key_id: done})
    return Ready(memory, roster, state.share), (Persist((keep,)), _publication(member, roster, done))


def _means(member: Member, scheme: MemberScheme, state: Enrolled, header: Header) -> tuple[MemberKeys, Sequence[bytes]]:
    """The keys and sealed shares that the scheme needs for this cohort.

    Raises `LocalError(SHARE_MISSING)` for what is not here yet, `PeerError(SHARE_MISMATCH)` for another number of shares.
    """
    keys = member.keys(state.roster, state.share)
    scheme.check_keys(state.roster, keys, insecure_keys=member.insecure_keys)
    if not scheme.takes_shares:
        return keys, ()
    delivery = state.shares
    if delivery is None or (delivery.plan_hash, delivery.root) != (header.plan_hash, header.root):
        text = "the sealed shares of this cohort have not come yet"
        raise LocalError(Refusal.SHARE_MISSING, text, next_step="The orchestrator sends them again.")
    if len(delivery.shares) != header.count:
        raise PeerError(Refusal.SHARE_MISMATCH, f"{len(delivery.shares)} sealed shares came for {header.count} contributions")
    return keys, delivery.shares


def _again(member: Member, roster: VerifiedRoster, header: Header, signed: Signed, before: Answered) -> tuple[Effect, ...]:
    """The stored answer for the same root; for anything else a refusal, with evidence if one round has two roots."""
    if header.round < before.round:
        error = FaultyOrchestrator(Refusal.REQUEST_ROUND_LOWER, f"round {header.round}: this member has answered for round {before.round}")
        return (Refused(error),)
    if header.root == before.root:
        return (_publication(member, roster, before),)
    error = FaultyOrchestrator(Refusal.REQUEST_SECOND_ROOT, f"round {header.round}: this member has answered for another cohort")
    topic = Topic(roster.roster.fleet, Kind.EVIDENCE, device=member.device_id, number=header.round)
    evidence = Publish(topic, encode(Evidence(before.header, signed)))
    # As its readers will: headers of two fleets under one key id prove nothing.
    verify_evidence(roster, member.device_id, evidence.data)
    return Refused(error), evidence, Alert(f"The orchestrator asked for two cohorts of round {header.round}.")


def _check_plan(member: Member, roster: VerifiedRoster, header: Header, request: DecryptionRequest) -> RoundTerms | None:
    """Root, then plan: signature, hash, policy. None if this member's roster is older than the plan's."""
    if header.root != cohort_of(header.plan_hash, request.bodies):
        raise FaultyOrchestrator(Refusal.REQUEST_ROOT, f"round {header.round}: the root is not that of the contributions sent")
    plan = open_plan(request.plan, roster.orchestrator)
    named = (plan.digest, plan.plan.fleet, plan.plan.key_id, plan.plan.round)
    if named != (header.plan_hash, header.fleet, header.key_id, header.round):
        raise FaultyOrchestrator(Refusal.REQUEST_PLAN, f"round {header.round}: header and plan do not belong together")
    if plan.plan.roster_serial > roster.roster.serial:
        return None
    check_plan(plan, roster, MEMBER_SCHEMES)
    return RoundTerms(plan, roster, member.insecure_keys)


def _check_cohort(terms: RoundTerms, header: Header, request: DecryptionRequest) -> tuple[VerifiedBody, ...]:
    """Signatures, membership, distinct ids in order; then the count."""
    bodies = open_bodies(terms, request.bodies)
    n = terms.plan.privacy
    if header.count != len(bodies) or not n.min_devices <= len(bodies) <= n.max_devices:
        text = f"round {header.round}: {len(bodies)} contributions, the plan asks for {n.min_devices} to {n.max_devices}"
        raise FaultyOrchestrator(Refusal.REQUEST_COUNT, text)
    return bodies


@TRANSITIONS.on(ReadBack)
def _on_read_back(member: Member, state: MemberState, _: ReadBack, randomness: Randomness) -> MemberStep:
    state = replace(state, memory=replace(state.memory, read_back=True))
    return (state, ()) if isinstance(state, Unenrolled) else _judge_waiting(member, state, randomness)


@TRANSITIONS.on(RolledBack)
def _on_rolled_back(_: Member, state: Enrolled, event: RolledBack, __: Randomness) -> MemberStep:
    """Nothing is answered under this key until a new deal: the roots answered so far are not known."""
    key_id = state.roster.key_id
    memory = replace(state.memory, rolled_back=state.memory.rolled_back | {key_id})
    keep = KeepStop(key_id, Refusal.STORE_ROLLED_BACK, event.evidence)
    return Ready(memory, state.roster, state.share, state.shares), (Persist((keep,)), Alert(forgotten().message))


def forgotten() -> LocalError:
    """The refusal to answer from a log that was put back to an earlier state."""
    return LocalError(
        Refusal.STORE_ROLLED_BACK,
        "this member's log was put back to an earlier state: which sums it helped to open is not known, and it answers nothing",
        next_step="Have the owner deal the committee's key anew.",
    )


@TRANSITIONS.on(Connected)
def _on_connected(member: Member, state: MemberState, _: Connected, __: Randomness) -> MemberStep:
    if isinstance(state, Unenrolled) or state.roster.key_id not in state.memory.answered:
        return state, ()
    return state, (_publication(member, state.roster, state.memory.answered[state.roster.key_id]),)


def _ready(state: Enrolled) -> Ready:
    return Ready(state.memory, state.roster, state.share, state.shares)


def _waiting(state: Enrolled, event: RequestArrived) -> Waiting:
    return Waiting(state.memory, state.roster, event.data, state.share, state.shares)


def _sealed(member: Member, roster: VerifiedRoster, answer: Answer) -> bytes:
    signed = member.signing_key.sign(Label.ANSWER, encode(answer))
    recipient = SealingPublicKey(roster.roster.orchestrator_sealing_key)
    context = answer_seal_context(answer.key_id, answer.round, answer.index)
    return seal(recipient, Label.SEAL_ANSWER, context, encode(SealedAnswer(signed)))


def _publication(member: Member, roster: VerifiedRoster, answered: Answered) -> Publish:
    topic = Topic(roster.roster.fleet, Kind.PARTIAL, device=member.device_id, number=answered.round, chunk=0)
    return Publish(topic, answered.sealed)
