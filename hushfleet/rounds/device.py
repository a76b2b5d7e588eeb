"""A device's round: plan accepted, model fetched, trained, contributed (PROTOCOL 5.2).

Whether a device takes part depends on plan, policy, model bytes and ledger only, never on its data: once a plan is accepted,
empty data or a failed training become the zero vector with full noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from hushfleet.codec import encode
from hushfleet.documents import (
    Plan,
    ReceiptStatus,
    VerifiedPlan,
    VerifiedRoster,
    is_selected,
    newer_roster,
    open_plan,
    open_receipt,
    open_roster,
    require_train,
)
from hushfleet.encryption.sealing import SealingPublicKey, seal
from hushfleet.errors import FaultyOrchestrator, HushfleetError, LocalError, PeerError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.privacy import EncodedVector, Ledger, clip, encode_vector, encode_zero
from hushfleet.randomness import Randomness
from hushfleet.rounds import machine
from hushfleet.rounds.effects import (
    Alert,
    DropContribution,
    Effect,
    Fetch,
    KeepContribution,
    KeepRoster,
    KeepSeen,
    KeepStop,
    Note,
    Persist,
    Publish,
    Refused,
    Train,
)
from hushfleet.rounds.events import Connected, EvidenceArrived, ModelArrived, PlanArrived, ReceiptArrived, RosterArrived, Trained
from hushfleet.rounds.evidence import stop_for_conflict, verify_evidence
from hushfleet.rounds.plan_check import Standing, check_plan, honest, standing
from hushfleet.schemes.base import RoundTerms
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.signing import SigningKey, VerifyKey
from hushfleet.training import GlobalModel
from hushfleet.wire import Body, Contribution, Kind, Topic, contribution_seal_context, decode_signed


class Phase(Enum):
    """Where the device stands in its round."""

    IDLE = auto()
    FETCHING = auto()
    TRAINING = auto()
    SENT = auto()


@dataclass(frozen=True, slots=True)
class Sent:
    """A finished contribution, durable since before its first byte left; kept until the receipt is final."""

    key_id: bytes
    round: int
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeviceState:
    """All that a device remembers. Everything but `phase`, `setting` and `waiting` is durable.

    `seen` is the highest validly signed round per key id; `stopped` the key ids whose orchestrator equivocated;
    `waiting` a plan that names a roster not held yet.
    """

    roster: VerifiedRoster | None
    ledger: Ledger
    phase: Phase = Phase.IDLE
    seen: Mapping[bytes, int] = field(default_factory=dict)
    stopped: frozenset[bytes] = frozenset()
    setting: RoundTerms | None = None
    sent: Sent | None = None
    waiting: bytes | None = None


DeviceStep = tuple[DeviceState, tuple[Effect, ...]]


@dataclass(frozen=True, slots=True)
class Device:
    """What does not change: identity, pinned root key, and the architectures it can train (hash -> number of values)."""

    device_id: str
    signing_key: SigningKey
    root: VerifyKey
    architectures: Mapping[bytes, int]
    insecure_keys: bool = False

    def step(self, state: DeviceState, event: object, randomness: Randomness) -> DeviceStep:
        """Take one event. Raises `PhaseError`; a peer's fault is a `Refused` effect. In both cases the state is as it was."""
        return machine.step(_TABLE, self, state, event, randomness)


def _on_roster(device: Device, state: DeviceState, event: RosterArrived, randomness: Randomness) -> DeviceStep:
    candidate = open_roster(decode_signed(event.data), device.root)
    try:
        roster = newer_roster(state.roster, candidate)
    except PeerError as error:
        if error.reason is not Refusal.ROSTER_CONFLICT:
            raise
        stopped, alarm = _stop(state, stop_for_conflict(_roster(state), candidate), str(error))
        return stopped, (Refused(error), *alarm)
    if state.roster is not None and roster.digest == state.roster.digest:
        return state, ()
    working = state.phase in (Phase.FETCHING, Phase.TRAINING)
    phase = Phase.IDLE if working else state.phase
    state = replace(state, roster=roster, phase=phase, setting=None if working else state.setting)
    effects: tuple[Effect, ...] = (Persist((KeepRoster(roster.signed),)),)
    if state.waiting is not None:
        # A step of its own: a plan that is refused now must not keep the roster out.
        state, more = device.step(replace(state, waiting=None), PlanArrived(state.waiting), randomness)
        effects += more
    return state, effects


def _on_plan(device: Device, state: DeviceState, event: PlanArrived, _: Randomness) -> DeviceStep:
    roster = _roster(state)
    plan = open_plan(decode_signed(event.data), roster.orchestrator)
    where = standing(plan.plan, roster)
    if where is not Standing.SAME:
        waiting = event.data if where is Standing.WAIT else state.waiting
        return replace(state, waiting=waiting), (Note(f"round {plan.plan.round}: {where.value}"),)
    if state.setting is not None and state.setting.plan_hash == plan.digest:
        return state, ()
    if plan.plan.key_id != roster.key_id:
        # Before anything is remembered: key ids that do not exist would fill the store.
        raise FaultyOrchestrator(Refusal.PLAN_KEY, f"round {plan.plan.round} is for another key or committee")
    stale = plan.plan.round < state.seen.get(plan.plan.key_id, 0)
    if stale:
        raise FaultyOrchestrator(Refusal.PLAN_ROUND_STALE, f"round {plan.plan.round} is below one already seen")
    state, remember = _seen(state, plan.plan)
    try:
        _judge(device, state, plan, roster)
    except HushfleetError as error:
        return state, (*remember, Refused(error))
    if not is_selected(plan, device.device_id):
        return state, (*remember, Note(f"round {plan.plan.round}: not asked this time"))
    setting = RoundTerms(plan, roster, device.insecure_keys)
    return replace(state, phase=Phase.FETCHING, setting=setting), (*remember, Fetch(require_train(plan.plan.task).parameter_hash))


def _seen(state: DeviceState, plan: Plan) -> DeviceStep:
    """Remember the highest validly signed round; work for a lower one ends, whatever becomes of this plan."""
    if plan.round == state.seen.get(plan.key_id, 0):
        return state, ()
    state = replace(state, seen={**state.seen, plan.key_id: plan.round})
    if state.setting is not None and state.setting.plan.key_id == plan.key_id:
        state = replace(state, phase=Phase.IDLE, setting=None)
    return state, (Persist((KeepSeen(plan.key_id, plan.round),)),)


def _judge(device: Device, state: DeviceState, verified: VerifiedPlan, roster: VerifiedRoster) -> None:
    plan = verified.plan
    if roster.device(device.device_id).verify_key != device.signing_key.verify_key.raw:
        # What this device signs would be refused, after its budget was charged.
        raise PeerError(Refusal.NOT_ENROLLED, f"the roster holds another key for {device.device_id}: it was enrolled anew elsewhere")
    if plan.key_id in state.stopped:
        raise FaultyOrchestrator(Refusal.EQUIVOCATION, "two documents of this key contradict each other: this device has stopped")
    check_plan(verified, roster)
    if device.architectures.get(require_train(plan.task).architecture_hash) != plan.dimension:
        raise LocalError(Refusal.PLAN_ARCHITECTURE, "this device has no trainer for the plan's model", next_step="Install the model.")
    if plan.round <= state.ledger.last_round(plan.key_id):
        raise FaultyOrchestrator(Refusal.PLAN_ROUND_REPEATED, f"this device has contributed to round {plan.round} or a later one")
    _charged(state.ledger, plan, roster)


def _on_model(_: Device, state: DeviceState, event: ModelArrived, __: Randomness) -> DeviceStep:
    setting = _setting(state)
    plan, task, policy = setting.plan, require_train(setting.plan.task), setting.roster.policy
    if sha256(event.data) != task.parameter_hash:
        raise FaultyOrchestrator(Refusal.MODEL_HASH, f"these are not the parameters of round {plan.round}")
    try:
        model = GlobalModel.from_bytes(
            event.data, version=task.model_version, dimension=plan.dimension, max_abs=policy.max_abs_parameter
        )
    except PeerError as error:
        return replace(state, phase=Phase.IDLE, setting=None), (Refused(error),)
    return replace(state, phase=Phase.TRAINING), (Train(setting.plan_hash, task.architecture_hash, model, task.training),)


def _on_trained(device: Device, state: DeviceState, event: Trained, randomness: Randomness) -> DeviceStep:
    setting = _setting(state)
    if event.plan_hash != setting.plan_hash:
        return state, (Note("training for an earlier plan ended; its result is dropped"),)
    encoded, notes = _encoded(setting, event, randomness)
    sealed = _sealed(device, setting, encoded, randomness)
    plan = setting.plan
    ledger = _charged(state.ledger, plan, setting.roster)
    sent = Sent(plan.key_id, plan.round, sealed)
    keep = KeepContribution(ledger.events[-1], sealed)
    state = replace(state, phase=Phase.SENT, ledger=ledger, sent=sent, setting=None)
    return state, (*notes, Persist((keep,)), _publication(device, setting.roster, sent))


def _encoded(setting: RoundTerms, event: Trained, randomness: Randomness) -> tuple[EncodedVector, tuple[Note, ...]]:
    """Clip, rotate, round, add noise; whatever is wrong with the update, the zero vector gets the same noise."""
    plan, encoding = setting.plan, setting.encoding
    reason = event.reason
    if event.update is not None:
        try:
            return encode_vector(clip(event.update.vector, plan.clip_norm), encoding, setting.plan_hash, randomness), ()
        except LocalError as error:
            reason = str(error)
    note = Note(f"round {plan.round}: contributing zero plus noise: {reason}")
    return encode_zero(plan.dimension, encoding, setting.plan_hash, randomness), (note,)


def _sealed(device: Device, setting: RoundTerms, encoded: EncodedVector, randomness: Randomness) -> bytes:
    parts = DEVICE_SCHEMES[setting.plan.scheme].encrypt(setting, device.device_id, encoded, randomness)
    body = Body(setting.plan_hash, device.device_id, parts.masked_hash, parts.items, parts.proof)
    signed = device.signing_key.sign(Label.BODY, encode(body))
    context = contribution_seal_context(setting.plan.key_id, setting.plan.round, device.device_id)
    recipient = SealingPublicKey(setting.roster.roster.orchestrator_sealing_key)
    return seal(recipient, Label.SEAL_CONTRIBUTION, context, encode(Contribution(signed, parts.masked_vector, parts.sealed_shares)))


def _on_receipt(device: Device, state: DeviceState, event: ReceiptArrived, _: Randomness) -> DeviceStep:
    roster = _roster(state)
    receipt = open_receipt(decode_signed(event.data), roster.orchestrator)
    sent = state.sent
    if sent is None or (receipt.device_id, receipt.key_id, receipt.round) != (device.device_id, sent.key_id, sent.round):
        return state, (Note("a receipt for nothing that waits for one"),)
    if receipt.whole_hash != sha256(sent.sealed):
        raise PeerError(Refusal.RECEIPT, "a receipt for other bytes than this device sent")
    if receipt.status is ReceiptStatus.HELD:
        return state, (replace(_publication(device, roster, sent), ranges=receipt.missing),)
    note = Note(f"round {sent.round}: contribution {receipt.status.value} {receipt.reason}".rstrip())
    phase = Phase.IDLE if state.phase is Phase.SENT else state.phase
    return replace(state, phase=phase, sent=None), (Persist((DropContribution(sent.key_id, sent.round),)), note)


def _on_evidence(_: Device, state: DeviceState, event: EvidenceArrived, __: Randomness) -> DeviceStep:
    header = verify_evidence(event.data, _roster(state).orchestrator)
    keep = KeepStop(header.key_id, Refusal.EQUIVOCATION, event.data)
    return _stop(state, keep, f"The orchestrator signed two roots for round {header.round}.")


def _stop(state: DeviceState, keep: KeepStop, text: str) -> DeviceStep:
    """Contribute nothing more under a key id, until the owner deals another."""
    if keep.key_id in state.stopped:
        return state, ()
    working = state.setting is not None and state.setting.plan.key_id == keep.key_id
    phase = Phase.IDLE if working else state.phase
    stopped = replace(state, stopped=state.stopped | {keep.key_id}, phase=phase, setting=None if working else state.setting)
    return stopped, (Persist((keep,)), Alert(f"{text} This device stops contributing under this key."))


def _on_connected(device: Device, state: DeviceState, _: Connected, __: Randomness) -> DeviceStep:
    if state.sent is None or state.roster is None:
        return state, ()
    return state, (_publication(device, state.roster, state.sent),)


def _publication(device: Device, roster: VerifiedRoster, sent: Sent) -> Publish:
    topic = Topic(roster.roster.fleet, Kind.CONTRIBUTION, device=device.device_id, number=sent.round, chunk=0)
    return Publish(topic, sent.sealed)


def _charged(ledger: Ledger, plan: Plan, roster: VerifiedRoster) -> Ledger:
    """The ledger with this round in it, under the policy's budget. Raises `BudgetError`; never charges a round twice."""
    n, budget = plan.privacy, roster.policy.budget_nano_rho
    if n.variance == 0:
        return ledger.record_without_privacy(plan.key_id, plan.round)
    return ledger.charge(plan.key_id, plan.round, b2=n.b2, honest=honest(plan, roster), variance=n.variance, budget_nano=budget)


def _roster(state: DeviceState) -> VerifiedRoster:
    if state.roster is None:
        raise LocalError(Refusal.NOT_ENROLLED, "no roster yet", next_step="Install this device's bundle.")
    return state.roster


def _setting(state: DeviceState) -> RoundTerms:
    if state.setting is None:
        raise LocalError(Refusal.PHASE, "no round is under way")
    return state.setting


_TABLE = machine.allowed(
    Phase,
    {
        RosterArrived: _on_roster,
        PlanArrived: _on_plan,
        ReceiptArrived: _on_receipt,
        EvidenceArrived: _on_evidence,
        Connected: _on_connected,
    },
    {(Phase.FETCHING, ModelArrived): _on_model, (Phase.TRAINING, Trained): _on_trained},
)
