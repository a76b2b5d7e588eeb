"""What a machine asks its program to do.

A program makes all changes of a step durable in one transaction, then adopts the new state, then carries out the rest in
order (see `sorted_out`). So no byte leaves before what it depends on is stored. If the transaction fails, the program keeps the
state it had and drops the rest.
"""

from dataclasses import dataclass, field

from hushfleet.documents import LocalTraining
from hushfleet.errors import HushfleetError, Refusal
from hushfleet.privacy import LedgerEntry
from hushfleet.signing import Signed
from hushfleet.training import GlobalModel
from hushfleet.wire import Topic


@dataclass(frozen=True, slots=True)
class Publish:
    """Send `data` on `topic`; retained where the topic table says so.

    `ranges`: only these chunks of it. Empty `data` clear a retained topic that held `clears_bytes`.
    """

    topic: Topic
    data: bytes = field(repr=False)
    ranges: tuple[tuple[int, int], ...] = ()
    clears_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get the model parameters with this SHA-256."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class Train:
    """Train the local model from `model`, then report `Trained` with `plan_hash`, also when training fails."""

    plan_hash: bytes
    architecture_hash: bytes
    model: GlobalModel
    settings: LocalTraining


@dataclass(frozen=True, slots=True)
class KeepRoster:
    """Store the roster in force."""

    signed: Signed = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeepSeen:
    """Store the highest validly signed round seen under a key."""

    key_id: bytes
    round: int


@dataclass(frozen=True, slots=True)
class KeepContribution:
    """Store the ledger charge together with the finished bytes: one transaction (PROTOCOL 5.2)."""

    event: LedgerEntry
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DropContribution:
    """The orchestrator's receipt is final: the stored bytes are no longer needed. The charge stays."""

    key_id: bytes
    round: int


@dataclass(frozen=True, slots=True)
class KeepStop:
    """Store that nothing is done under this key id any more, with the two signed documents that prove why.

    `reason`: `EQUIVOCATION` (two headers of the orchestrator) or `ROSTER_CONFLICT` (two rosters of the owner).
    """

    key_id: bytes
    reason: Refusal
    evidence: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeepShare:
    """Store the key share of the key in force."""

    key_id: bytes
    index: int
    share: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DropShare:
    """Erase the key share of a key that is no longer in force."""

    key_id: bytes


@dataclass(frozen=True, slots=True)
class KeepAnswer:
    """Store root, header and finished answer of a round: one transaction (PROTOCOL 5.4)."""

    key_id: bytes
    round: int
    root: bytes
    header: Signed = field(repr=False)
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeepRound:
    """Store that this round has begun, with its signed plan."""

    key_id: bytes
    round: int
    plan: Signed = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeepAccepted:
    """Store accepted contributions: (device id, sealed bytes)."""

    round: int
    contributions: tuple[tuple[str, bytes], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeepRequest:
    """Store a decryption request before it is first sent."""

    round: int
    request: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeepOutcome:
    """Store a finished round, released or aborted: its archive (file name -> bytes), the model in force, the optimiser's state."""

    key_epoch: int
    round: int
    archive: tuple[tuple[str, bytes], ...] = field(repr=False)
    model: GlobalModel
    optimizer_state: bytes = field(repr=False)


Change = (
    KeepRoster
    | KeepSeen
    | KeepContribution
    | DropContribution
    | KeepStop
    | KeepShare
    | DropShare
    | KeepAnswer
    | KeepRound
    | KeepAccepted
    | KeepRequest
    | KeepOutcome
)


@dataclass(frozen=True, slots=True)
class Persist:
    """Make all `changes` durable in one transaction."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A peer's message was refused, or the budget does not cover it. Log it; the state kept what it had to keep."""

    error: HushfleetError


@dataclass(frozen=True, slots=True)
class Alert:
    """Tell the fleet's owner: somebody broke a promise, and here is what proves it."""

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the local log. Never leaves this machine."""

    text: str


Effect = Publish | Fetch | Train | Persist | Refused | Alert | Note


def sorted_out(effects: tuple[Effect, ...]) -> tuple[tuple[Change, ...], tuple[Effect, ...]]:
    """The changes to store in one transaction, and what to do once they are durable."""
    changes = tuple(change for effect in effects if isinstance(effect, Persist) for change in effect.changes)
    return changes, tuple(effect for effect in effects if not isinstance(effect, Persist))
