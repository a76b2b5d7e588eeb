"""A device's round: plan accepted, model fetched, task done, contributed (PROTOCOL 5.2).

Who speaks. The owner sends rosters. The orchestrator sends plans, models, receipts. A committee member may send evidence against
the orchestrator. The program reports what it prepared, fetched and computed, and that the link is up again. The device sends one
contribution per round, the same bytes as often as needed.

What is durable before what leaves. The highest validly signed round is stored with the step that sees it. The ledger's charge and
the finished sealed bytes are one transaction, and only then do the bytes leave; the bytes are kept until a final receipt.
A roster is stored before anything is judged against it. The proof that somebody contradicted himself is stored before the device
says that it has stopped.

What a refusal leaves behind. A message that is refused leaves the state as it was, except that a validly signed plan for a higher
round is remembered: work for a lower round ends, whatever becomes of that plan. A plan that names a newer roster waits for it.
A plan that is cleared before the charge ends the work. Whether a device takes part depends on plan, policy, model bytes and ledger
only, never on its data: once a plan is accepted, empty data or a failed training become the zero vector with full noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hushfleet.documents import (
    Plan,
    Receipt,
    ReceiptStatus,
    VerifiedPlan,
    VerifiedRoster,
    is_selected,
    open_plan,
    open_receipt,
)
from hushfleet.errors import FaultyOrchestrator, HushfleetError, LocalError, PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.privacy import Ledger, Participation
from hushfleet.randomness import Randomness
from hushfleet.rounds import plan_check
from hushfleet.rounds.contributing import contribution_of, protect, sealed_contribution
from hushfleet.rounds.effects import (
    Alert,
    Change,
    DoTask,
    DropContribution,
    Effect,
    Fetch,
    KeepCharge,
    KeepContribution,
    KeepRoster,
    KeepSeen,
    KeepStop,
    Note,
    Persist,
    Prepare,
    Publish,
    Refused,
    ZeroContributed,
)
from hushfleet.rounds.events import (
    Connected,
    EvidenceArrived,
    Fetched,
    PlanArrived,
    PlanCleared,
    Prepared,
    ReadBack,
    ReceiptArrived,
    RolledBack,
    RosterArrived,
    TaskDone,
)
from hushfleet.rounds.evidence import verify_evidence
from hushfleet.rounds.machine import Transitions
from hushfleet.rounds.plan_check import Standing, standing
from hushfleet.rounds.roster_change import NewRoster, RosterConflict, SameRoster, decide_roster
from hushfleet.rounds.tasks.device import opened_input, wanted_input
from hushfleet.schemes.base import RoundTerms
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.signing import SigningKey, VerifyKey
from hushfleet.typed import typed
from hushfleet.wire import Kind, Topic, decode_signed
from hushfleet.wire.status import STAYS_OUT


@dataclass(frozen=True, slots=True)
class Sent:
    """A finished contribution, durable since before its first byte left; kept until the receipt is final."""

    key_id: bytes
    round: int
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Everything durable but the roster, in every phase.

    `seen` is the highest validly signed round per key id; `stopped` the key ids under which nothing is done any more; `sent` the
    contribution that waits for its receipt, `done` the hash of the plan that it last contributed to. `rolled_back` are the key ids
    under which this store has forgotten something, until the owner says how to go on; `read_back` is False from a start until it is
    known what others hold of this device (PROTOCOL 8).
    """

    ledger: Ledger
    seen: Mapping[bytes, int] = field(default_factory=dict)
    stopped: frozenset[bytes] = frozenset()
    sent: Sent | None = None
    rolled_back: frozenset[bytes] = frozenset()
    read_back: bool = True
    done: bytes = b""


@dataclass(frozen=True, slots=True)
class Unenrolled:
    """A device before its first roster."""

    memory: DeviceMemory


@dataclass(frozen=True, slots=True)
class Idle:
    """No plan is being worked on.

    `waiting` is a plan, as it arrived, that names a roster not held yet; `out` the reason why this device stays out of the round it
    last saw, for its status, where it is one of `STAYS_OUT`.
    """

    memory: DeviceMemory
    roster: VerifiedRoster
    waiting: bytes | None = field(default=None, repr=False)
    out: Refusal | None = None


@dataclass(frozen=True, slots=True)
class _AtWork:
    memory: DeviceMemory
    terms: RoundTerms
    waiting: bytes | None = field(default=None, repr=False)

    @property
    def roster(self) -> VerifiedRoster:
        """The roster in force, the one that the plan names."""
        return self.terms.roster


@dataclass(frozen=True, slots=True)
class Preparing(_AtWork):
    """A plan was accepted; the program looks for what its task needs besides data."""


@dataclass(frozen=True, slots=True)
class Fetching(_AtWork):
    """The bytes that the plan names by hash are on their way."""


@dataclass(frozen=True, slots=True)
class Working(_AtWork):
    """The task runs on the device's own data. It ends in a contribution, whatever it comes to."""


Enrolled = Idle | Preparing | Fetching | Working
DeviceState = Unenrolled | Enrolled
DeviceStep = tuple[DeviceState, tuple[Effect, ...]]

_AT_WORK = (Preparing, Fetching, Working)
_ENROLLED = (Idle, *_AT_WORK)

TRANSITIONS = Transitions(
    {
        (Unenrolled, RosterArrived): (Idle,),
        **{(phase, RosterArrived): (phase, Idle, Preparing) for phase in _ENROLLED},
        **{(phase, PlanArrived): (phase, Idle, Preparing) for phase in _ENROLLED},
        **{(phase, PlanCleared): (Idle,) for phase in _ENROLLED},
        (Preparing, Prepared): (Preparing, Fetching, Working, Idle),
        (Fetching, Fetched): (Working, Idle),
        (Working, TaskDone): (Working, Idle),
        **{(phase, ReceiptArrived): (phase, Idle) for phase in _ENROLLED},
        **{(phase, EvidenceArrived): (phase, Idle) for phase in _ENROLLED},
        (Unenrolled, ReadBack): (Unenrolled,),
        **{(phase, ReadBack): (phase, Preparing) for phase in _ENROLLED},
        **{(phase, RolledBack): (phase, Idle) for phase in _ENROLLED},
        **{(phase, Connected): (phase,) for phase in (Unenrolled, *_ENROLLED)},
    }
)


@dataclass(frozen=True, slots=True)
class Device:
    """The part of a device that never changes: its identity and the pinned root key. `insecure_keys` is for tests."""

    device_id: str
    signing_key: SigningKey
    root: VerifyKey
    insecure_keys: bool = False

    def step(self, state: DeviceState, event: object, randomness: Randomness) -> DeviceStep:
        """Take one event. Raises `PhaseError`; a peer's fault is a `Refused` effect. In both cases the state is as it was."""
        return TRANSITIONS.step(self, state, event, randomness)


@TRANSITIONS.on(RosterArrived)
def _on_roster(device: Device, state: DeviceState, event: RosterArrived, randomness: Randomness) -> DeviceStep:
    before = None if isinstance(state, Unenrolled) else state.roster
    match decide_roster(before, event.data, device.root):
        case SameRoster():
            return state, ()
        case RosterConflict(stop, error):
            stopped, alarm = _stop(_enrolled(state), stop, str(error))
            return stopped, (Refused(error), *alarm)
        case NewRoster(roster):
            waiting = None if isinstance(state, Unenrolled) else state.waiting
            effects: tuple[Effect, ...] = (Persist((KeepRoster(roster.signed),)),)
            after: DeviceState = Idle(state.memory, roster)
            if waiting is not None:
                # A step of its own: a plan that is refused now must not keep the roster out.
                after, more = device.step(after, PlanArrived(waiting), randomness)
                effects += more
            return after, effects


@TRANSITIONS.on(PlanArrived)
def _on_plan(device: Device, state: Enrolled, event: PlanArrived, _: Randomness) -> DeviceStep:
    plan = open_plan(decode_signed(event.data), state.roster.orchestrator)
    if not state.memory.read_back:
        return replace(state, waiting=event.data), ()
    where = standing(plan.plan, state.roster)
    if where is not Standing.SAME:
        waiting = event.data if where is Standing.WAIT else state.waiting
        reason = Refusal.ROSTER_OLDER if where is Standing.WAIT else Refusal.PLAN_ROSTER
        return _out(replace(state, waiting=waiting), reason), (Note(f"round {plan.plan.round}: {where.value}"),)
    if plan.digest == state.memory.done or (not isinstance(state, Idle) and state.terms.plan_hash == plan.digest):
        return state, ()  # as after every new connection
    if plan.plan.key_id != state.roster.key_id:
        # Before anything is remembered: key ids that do not exist would fill the store.
        raise FaultyOrchestrator(Refusal.PLAN_KEY, f"round {plan.plan.round} is for another key or committee")
    if plan.plan.round < state.memory.seen.get(plan.plan.key_id, 0):
        raise FaultyOrchestrator(Refusal.PLAN_ROUND_STALE, f"round {plan.plan.round} is below one already seen")
    state, remember = _seen(state, plan.plan)
    try:
        _judge(device, state, plan)
    except HushfleetError as error:
        return _out(state, error.reason), (*remember, Refused(error))
    if not is_selected(plan, device.device_id):
        return state, (*remember, Note(f"round {plan.plan.round}: not asked this time"))
    terms = RoundTerms(plan, state.roster, device.insecure_keys)
    prepare = Prepare(plan.digest, plan.plan.task, plan.plan.dimension)
    return Preparing(state.memory, terms, state.waiting), (*remember, prepare)


def _seen(state: Enrolled, plan: Plan) -> tuple[Enrolled, tuple[Effect, ...]]:
    """Remember the highest validly signed round; work for a lower one ends, whatever becomes of this plan."""
    if plan.round == state.memory.seen.get(plan.key_id, 0):
        return state, ()
    memory = replace(state.memory, seen={**state.memory.seen, plan.key_id: plan.round})
    return Idle(memory, state.roster, state.waiting), (Persist((KeepSeen(plan.key_id, plan.round),)),)


def _judge(device: Device, state: Enrolled, verified: VerifiedPlan) -> None:
    plan, roster = verified.plan, state.roster
    if roster.device(device.device_id).verify_key != device.signing_key.verify_key.raw:
        # What this device signs would be refused, after its budget was charged.
        raise PeerError(Refusal.NOT_ENROLLED, f"the roster holds another key for {device.device_id}: it was enrolled anew elsewhere")
    if plan.key_id in state.memory.stopped:
        raise FaultyOrchestrator(Refusal.EQUIVOCATION, "two documents of this key contradict each other: this device has stopped")
    if plan.key_id in state.memory.rolled_back:
        raise forgotten()
    plan_check.check_plan(verified, roster, DEVICE_SCHEMES)
    if plan.round <= state.memory.ledger.last_round(plan.key_id):
        raise FaultyOrchestrator(Refusal.PLAN_ROUND_REPEATED, f"this device has contributed to round {plan.round} or a later one")
    _charged(state.memory.ledger, plan, roster)


@TRANSITIONS.on(PlanCleared)
def _on_cleared(_: Device, state: Enrolled, __: PlanCleared, ___: Randomness) -> DeviceStep:
    """Work that has cost nothing so far ends: its round would not count it. It depends on the plan alone."""
    if isinstance(state, Idle):
        return replace(state, waiting=None), ()
    number = state.terms.plan.round
    return Idle(state.memory, state.roster), (Note(f"round {number} closed before this device contributed: nothing was paid"),)


@TRANSITIONS.on(Prepared)
def _on_prepared(_: Device, state: Preparing, event: Prepared, __: Randomness) -> DeviceStep:
    terms = state.terms
    if event.plan_hash != terms.plan_hash:
        return state, ()
    if event.problem is not None:
        # It depends on the plan and on this device's installation, not on its data: the device may stay out.
        return _out(_idle(state), event.problem.reason), (Refused(event.problem),)
    digest = wanted_input(terms.plan.task)
    if digest is None:
        return Working(state.memory, terms, state.waiting), (DoTask(terms.plan_hash, terms.plan.task, None),)
    return Fetching(state.memory, terms, state.waiting), (Fetch(digest),)


@TRANSITIONS.on(Fetched)
def _on_fetched(_: Device, state: Fetching, event: Fetched, __: Randomness) -> DeviceStep:
    terms = state.terms
    if sha256(event.data) != wanted_input(terms.plan.task):
        raise FaultyOrchestrator(Refusal.MODEL_HASH, f"these are not the parameters of round {terms.plan.round}")
    try:
        model = opened_input(terms, event.data)
    except PeerError as error:
        return _out(_idle(state), error.reason), (Refused(error),)
    return Working(state.memory, terms, state.waiting), (DoTask(terms.plan_hash, terms.plan.task, model),)


@TRANSITIONS.on(TaskDone)
def _on_done(device: Device, state: Working, event: TaskDone, randomness: Randomness) -> DeviceStep:
    terms, plan = state.terms, state.terms.plan
    if event.plan_hash != terms.plan_hash:
        return state, (Note("work for an earlier plan ended; its result is dropped"),)
    encoded, reason = protect(terms, event.update, event.reason, randomness)
    notes = (ZeroContributed(reason),) if reason else ()
    contribution = contribution_of(terms, device.device_id, device.signing_key, encoded, randomness)
    sent = Sent(plan.key_id, plan.round, sealed_contribution(terms, device.device_id, contribution))
    ledger = _charged(state.memory.ledger, plan, state.roster)
    after = Idle(replace(state.memory, ledger=ledger, sent=sent, done=terms.plan_hash), state.roster, state.waiting)
    keep = Persist((KeepContribution(ledger.events[-1], sent.sealed, terms.plan_hash),))
    return after, (*notes, keep, _publication(device, state.roster, sent))


@TRANSITIONS.on(ReceiptArrived)
def _on_receipt(device: Device, state: Enrolled, event: ReceiptArrived, _: Randomness) -> DeviceStep:
    receipt = open_receipt(decode_signed(event.data), state.roster.orchestrator)
    sent = state.memory.sent
    if receipt.device_id != device.device_id:
        return state, (Note("a receipt for another device"),)
    if _proves_another(receipt, state.memory):
        return _forgot(state, receipt.key_id, receipt.round, event.data)
    if sent is None or (receipt.key_id, receipt.round) != (sent.key_id, sent.round):
        return state, ()
    if receipt.whole_hash != sha256(sent.sealed):
        raise PeerError(Refusal.RECEIPT, "a receipt for other bytes than this device sent")
    if receipt.status is ReceiptStatus.HELD:
        return state, (replace(_publication(device, state.roster, sent), ranges=receipt.missing),)
    note = Note(f"round {sent.round}: contribution {receipt.status.value} {receipt.reason}".rstrip())
    after = replace(state, memory=replace(state.memory, sent=None))
    return after, (Persist((DropContribution(sent.key_id, sent.round),)), note)


@TRANSITIONS.on(EvidenceArrived)
def _on_evidence(_: Device, state: Enrolled, event: EvidenceArrived, __: Randomness) -> DeviceStep:
    header = verify_evidence(state.roster, event.device_id, event.data)
    keep = KeepStop(header.key_id, Refusal.EQUIVOCATION, event.data)
    return _stop(state, keep, f"The orchestrator signed two roots for round {header.round}.")


@TRANSITIONS.on(ReadBack)
def _on_read_back(device: Device, state: DeviceState, _: ReadBack, randomness: Randomness) -> DeviceStep:
    """From now on plans are judged; one that came before is judged now."""
    state = replace(state, memory=replace(state.memory, read_back=True))
    if not isinstance(state, Idle) or state.waiting is None:
        return state, ()
    return device.step(replace(state, waiting=None), PlanArrived(state.waiting), randomness)


@TRANSITIONS.on(RolledBack)
def _on_rolled_back(_: Device, state: Enrolled, event: RolledBack, __: Randomness) -> DeviceStep:
    """Charge what the device itself said that it had spent, and stop under this key."""
    key_id, ledger = state.roster.key_id, state.memory.ledger
    missing = max(0, (event.spent_nano or 0) - ledger.spent_nano)
    number = max(event.round, ledger.last_round(key_id) + 1, 1)
    charge = (Participation(key_id, number, missing),) if missing else ()
    return _forgot(state, key_id, number, event.evidence, charge)


def _proves_another(receipt: Receipt, memory: DeviceMemory) -> bool:
    """True if the orchestrator signed that it has a contribution of this device of which the store knows nothing."""
    sent = memory.sent
    if receipt.status is ReceiptStatus.REFUSED and receipt.reason == Refusal.CONTRIBUTION_SECOND:
        return True
    if receipt.status is not ReceiptStatus.ACCEPTED:
        return False
    if sent is not None and (receipt.key_id, receipt.round) == (sent.key_id, sent.round):
        return receipt.whole_hash != sha256(sent.sealed)
    # An empty ledger is that of a device enrolled anew: what its earlier keys did is no news.
    known = memory.ledger.last_round(receipt.key_id) >= 0
    return known and memory.ledger.find(receipt.key_id, receipt.round) is None


def _forgot(state: Enrolled, key_id: bytes, number: int, evidence: bytes, charge: tuple[Participation, ...] = ()) -> DeviceStep:
    """The store has gone back in time: charge what is proven, contribute nothing more under the key until the owner says so."""
    if key_id in state.memory.rolled_back:
        return state, ()
    if not isinstance(state, Idle) and state.terms.plan.key_id == key_id:
        state = _idle(state)
    ledger = Ledger((*state.memory.ledger.events, *charge))
    memory = replace(state.memory, ledger=ledger, rolled_back=state.memory.rolled_back | {key_id})
    changes: tuple[Change, ...] = (KeepStop(key_id, Refusal.STORE_ROLLED_BACK, evidence), *(KeepCharge(entry) for entry in charge))
    text = f"This device contributed in round {number}, of which its store knows nothing: the store was put back to an earlier state."
    return replace(state, memory=memory), (Persist(changes), Alert(f"{text} {forgotten().next_step}"))


def forgotten() -> LocalError:
    """The refusal to work on a store that was put back to an earlier state."""
    return LocalError(
        Refusal.STORE_ROLLED_BACK,
        "this device's store was put back to an earlier state, and others hold what it has forgotten",
        next_step="Find out whether a copy of this device runs elsewhere, and stop it. Then: " + typed("agent", "recover"),
    )


@TRANSITIONS.on(Connected)
def _on_connected(device: Device, state: DeviceState, _: Connected, __: Randomness) -> DeviceStep:
    if isinstance(state, Unenrolled) or state.memory.sent is None:
        return state, ()
    return state, (_publication(device, state.roster, state.memory.sent),)


def _stop(state: Enrolled, keep: KeepStop, text: str) -> DeviceStep:
    """Contribute nothing more under a key id, until the owner deals another."""
    if keep.key_id in state.memory.stopped:
        return state, ()
    if not isinstance(state, Idle) and state.terms.plan.key_id == keep.key_id:
        state = _idle(state)
    memory = replace(state.memory, stopped=state.memory.stopped | {keep.key_id})
    return replace(state, memory=memory), (Persist((keep,)), Alert(f"{text} This device stops contributing under this key."))


def _idle(state: Preparing | Fetching | Working) -> Idle:
    return Idle(state.memory, state.roster, state.waiting)


def _out(state: Enrolled, reason: Refusal) -> Enrolled:
    """Remember why no part is taken, as far as everybody may know. Work that is under way goes on."""
    return replace(state, out=reason if reason in STAYS_OUT else None) if isinstance(state, Idle) else state


def _enrolled(state: DeviceState) -> Enrolled:
    if isinstance(state, Unenrolled):
        raise LocalError(Refusal.NOT_ENROLLED, "no roster yet", next_step="Install this device's bundle.")
    return state


def _publication(device: Device, roster: VerifiedRoster, sent: Sent) -> Publish:
    topic = Topic(roster.roster.fleet, Kind.CONTRIBUTION, device=device.device_id, number=sent.round, chunk=0)
    return Publish(topic, sent.sealed)


def _charged(ledger: Ledger, plan: Plan, roster: VerifiedRoster) -> Ledger:
    """The ledger with this round in it, under the policy's budget. Raises `BudgetError`; never charges a round twice."""
    n, budget = plan.privacy, roster.policy.budget_nano_rho
    if n.variance == 0:
        return ledger.record_without_privacy(plan.key_id, plan.round)
    honest = plan_check.honest(plan, roster)
    return ledger.charge(plan.key_id, plan.round, b2=n.b2, honest=honest, variance=n.variance, budget_nano=budget)
