"""The word of this orchestrator that others hold: its retained plan and its latest record, read back after a start (PROTOCOL 8)."""

from dataclasses import dataclass

from hushfleet.documents import JournalHead, open_plan, open_record
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.rounds.coordinator import CoordinatorState, NoRound
from hushfleet.signing import VerifyKey
from hushfleet.typed import typed
from hushfleet.wire import Kind, decode_signed


@dataclass(frozen=True, slots=True)
class Held:
    """A document that this orchestrator signed and others hold. `plan_hash` names its round's plan, `ended` is True for a record."""

    key_id: bytes
    round: int
    plan_hash: bytes
    journal: JournalHead
    ended: bool

    def ahead_of(self, state: CoordinatorState) -> bool:
        """True if the store knows less than others do."""
        memory = state.memory
        last = memory.last_round.get(self.key_id, 0)
        if self.round != last:
            return self.round > last or self.journal.number > memory.journal.number
        if isinstance(state, NoRound):
            # A round that a person has settled is above the last one of which this store knows the plan.
            closed = state.closed.plan if state.closed is not None else None
            return closed is not None and closed.plan.round == self.round and closed.digest != self.plan_hash
        # The store believes that the round is open: a record, or another plan of it, says that it has forgotten.
        return self.ended or state.terms.plan_hash != self.plan_hash


def held_outside(kind: Kind, data: bytes, own: VerifyKey) -> Held | None:
    """The document in the bytes of a retained topic; None if this orchestrator did not sign it, or the topic was cleared."""
    try:
        if kind is Kind.PLAN:
            plan = open_plan(decode_signed(data), own)
            return Held(plan.plan.key_id, plan.plan.round, plan.digest, plan.plan.journal, ended=False)
        record = open_record(decode_signed(data), own)
    except PeerError:
        return None
    return Held(record.key_id, record.round, record.plan_hash, record.journal, ended=True)


def forgotten(number: int) -> LocalError:
    """The refusal to sign anything from a store that was put back to an earlier state."""
    return LocalError(
        Refusal.STORE_ROLLED_BACK,
        f"others hold a document that this orchestrator signed for round {number}, of which its store knows nothing",
        next_step="Stop every copy of this orchestrator. Then: " + typed("orchestrator", "recover"),
    )
