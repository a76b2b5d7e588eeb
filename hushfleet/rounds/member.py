"""A committee member: at most one decryption per round, of a sum it formed itself (PROTOCOL 5.4).

The order of the checks is the protocol's; nothing is recorded before all have passed. Recording and answer are one `Persist`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from hushfleet.codec import encode
from hushfleet.documents import DecryptionRequest, Header, VerifiedRoster, newer_roster, open_grant, open_header, open_plan, open_roster
from hushfleet.encryption.paillier.secret import check_share
from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.encryption.sealing import SealingKey, SealingPublicKey, seal, unseal
from hushfleet.errors import FaultyOrchestrator, FaultyOwner, LocalError, PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.randomness import Randomness
from hushfleet.rounds import machine
from hushfleet.rounds.cohort import cohort_of, open_bodies
from hushfleet.rounds.effects import Alert, Change, DropShare, Effect, KeepAnswer, KeepRoster, KeepShare, Note, Persist, Publish, Refused
from hushfleet.rounds.events import Connected, GrantArrived, RequestArrived, RosterArrived
from hushfleet.rounds.evidence import stop_for_conflict
from hushfleet.rounds.plan_check import check_plan
from hushfleet.schemes.base import RoundTerms, VerifiedBody, public_key
from hushfleet.schemes.members import MEMBER_SCHEMES
from hushfleet.signing import Signed, SigningKey, VerifyKey
from hushfleet.wire import Answer, Evidence, Kind, SealedAnswer, Topic, answer_seal_context, decode_decryption_request, decode_signed


class Phase(Enum):
    """Whether the member holds a share of the key in force."""

    WITHOUT_SHARE = auto()
    READY = auto()


@dataclass(frozen=True, slots=True)
class Answered:
    """The one root this member answered for, in the latest round of a key, and the answer it gives again."""

    round: int
    root: bytes
    header: Signed = field(repr=False)
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MemberState:
    """All that a member remembers; `answered` (per key id), `stopped` and the share live in one database. `waiting` is not durable."""

    roster: VerifiedRoster | None
    phase: Phase = Phase.WITHOUT_SHARE
    share: KeyShare | None = field(default=None, repr=False)
    answered: Mapping[bytes, Answered] = field(default_factory=dict)
    stopped: frozenset[bytes] = frozenset()
    waiting: bytes | None = field(default=None, repr=False)


MemberStep = tuple[MemberState, tuple[Effect, ...]]


@dataclass(frozen=True, slots=True)
class Member:
    """What does not change: identity and the pinned root key."""

    device_id: str
    signing_key: SigningKey
    sealing_key: SealingKey
    root: VerifyKey
    insecure_keys: bool = False

    def step(self, state: MemberState, event: object, randomness: Randomness) -> MemberStep:
        """Take one event. Raises `PhaseError`; a peer's fault is a `Refused` effect. In both cases the state is as it was."""
        return machine.step(_TABLE, self, state, event, randomness)


def _on_roster(member: Member, state: MemberState, event: RosterArrived, randomness: Randomness) -> MemberStep:
    candidate = open_roster(decode_signed(event.data), member.root)
    try:
        roster = newer_roster(state.roster, candidate)
    except PeerError as error:
        if error.reason is not Refusal.ROSTER_CONFLICT:
            raise
        keep = stop_for_conflict(_roster(state), candidate)
        stop = Persist((keep,)), Alert(f"{error} This member stops answering under this key.")
        return replace(state, stopped=state.stopped | {keep.key_id}), (Refused(error), *stop)
    if state.roster is not None and roster.digest == state.roster.digest:
        return state, ()
    changes: tuple[Change, ...] = (KeepRoster(roster.signed),)
    if state.roster is not None and roster.key_id != state.roster.key_id:
        changes += (DropShare(state.roster.key_id),)
        state = replace(state, share=None, phase=Phase.WITHOUT_SHARE)
    state = replace(state, roster=roster)
    state, effects = _judge_waiting(member, state, randomness)
    return state, (Persist(changes), *effects)


def _judge_waiting(member: Member, state: MemberState, randomness: Randomness) -> MemberStep:
    """The request that waited, once roster and share are here. A step of its own: its refusal keeps nothing else out."""
    if state.waiting is None or state.phase is not Phase.READY:
        return state, ()
    return member.step(replace(state, waiting=None), RequestArrived(state.waiting), randomness)


def _on_grant(member: Member, state: MemberState, event: GrantArrived, randomness: Randomness) -> MemberStep:
    roster = _roster(state)
    index = roster.member_index(member.device_id)
    plain = unseal(member.sealing_key, Label.SEAL_KEY_SHARE, roster.key_id, event.data)
    grant = open_grant(plain, member.root, member_id=member.device_id, key_id=roster.key_id)
    key = public_key(roster.roster.paillier, len(roster.roster.committee), insecure=member.insecure_keys)
    share = KeyShare.from_bytes(key, grant.share)
    if (grant.index, share.index) != (index, index):
        raise PeerError(Refusal.SHARE_FOR_ANOTHER, f"a share for index {share.index}, this member has {index}")
    check_share(key, share)
    if state.share is not None:
        return state, (Note("the share of this key is held already"),)
    keep = Persist((KeepShare(roster.key_id, index, grant.share),))
    state, effects = _judge_waiting(member, replace(state, share=share, phase=Phase.READY), randomness)
    return state, (keep, *effects)


def _on_request(member: Member, state: MemberState, event: RequestArrived, randomness: Randomness) -> MemberStep:
    roster = _roster(state)
    request = decode_decryption_request(event.data)
    header = open_header(request.header, roster.orchestrator)
    if header.key_id in state.stopped:
        raise FaultyOwner(Refusal.ROSTER_CONFLICT, "two rosters carry one serial: this member has stopped")
    before = state.answered.get(header.key_id)
    if before is not None and header.round <= before.round:
        return state, _again(member, roster, header, request.header, before)
    setting = _check_plan(member, roster, header, request)
    if setting is None:
        return replace(state, waiting=event.data), (Note(f"round {header.round} waits for a newer roster"),)
    bodies = _check_cohort(setting, header, request)
    scheme = MEMBER_SCHEMES[setting.plan.scheme]
    scheme.check(setting, bodies, randomness)
    share = _share(state)
    items, proof = scheme.answer(setting, share, header.root, bodies, randomness)
    answer = Answer(header.key_id, header.round, header.plan_hash, header.root, share.index, items, proof)
    done = Answered(header.round, header.root, request.header, _sealed(member, roster, answer))
    keep = KeepAnswer(header.key_id, header.round, header.root, request.header, done.sealed)
    state = replace(state, answered={**state.answered, header.key_id: done})
    return state, (Persist((keep,)), _publication(member, roster, done))


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
    check_plan(plan, roster)
    return RoundTerms(plan, roster, member.insecure_keys)


def _check_cohort(setting: RoundTerms, header: Header, request: DecryptionRequest) -> tuple[VerifiedBody, ...]:
    """Signatures, membership, distinct ids in order; then the count."""
    bodies = open_bodies(setting, request.bodies)
    n = setting.plan.privacy
    if header.count != len(bodies) or not n.min_devices <= len(bodies) <= n.max_devices:
        text = f"round {header.round}: {len(bodies)} contributions, the plan asks for {n.min_devices} to {n.max_devices}"
        raise FaultyOrchestrator(Refusal.REQUEST_COUNT, text)
    return bodies


def _on_connected(member: Member, state: MemberState, _: Connected, __: Randomness) -> MemberStep:
    if state.roster is None or state.roster.key_id not in state.answered:
        return state, ()
    return state, (_publication(member, state.roster, state.answered[state.roster.key_id]),)


def _sealed(member: Member, roster: VerifiedRoster, answer: Answer) -> bytes:
    signed = member.signing_key.sign(Label.ANSWER, encode(answer))
    recipient = SealingPublicKey(roster.roster.orchestrator_sealing_key)
    context = answer_seal_context(answer.key_id, answer.round, answer.index)
    return seal(recipient, Label.SEAL_ANSWER, context, encode(SealedAnswer(signed)))


def _publication(member: Member, roster: VerifiedRoster, answered: Answered) -> Publish:
    topic = Topic(roster.roster.fleet, Kind.PARTIAL, device=member.device_id, number=answered.round, chunk=0)
    return Publish(topic, answered.sealed)


def _roster(state: MemberState) -> VerifiedRoster:
    if state.roster is None:
        raise LocalError(Refusal.NOT_ENROLLED, "no roster yet", next_step="Install this member's bundle.")
    return state.roster


def _share(state: MemberState) -> KeyShare:
    if state.share is None:
        raise LocalError(Refusal.PHASE, "no key share yet")
    return state.share


_TABLE = machine.allowed(
    Phase,
    {RosterArrived: _on_roster, GrantArrived: _on_grant, Connected: _on_connected},
    {(Phase.READY, RequestArrived): _on_request},
)
