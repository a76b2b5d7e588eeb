"""Effects: everything that a machine asks its program to do.

A program makes all changes of a step durable in one transaction, then adopts the new state, then carries out the rest in
order (see `sorted_out`). So no byte leaves before what it depends on is stored. If the transaction fails, the program keeps the
state it had and drops the rest.
"""

from dataclasses import dataclass, field

from hushfleet.documents import Task
from hushfleet.documents.archive import RoundArchive
from hushfleet.errors import HushfleetError, Refusal
from hushfleet.privacy import LedgerEntry
from hushfleet.rounds.tasks.base import Progress
from hushfleet.schemes.base import VerifiedBody
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
class Prepare:
    """Find what this device needs for `task` besides data, such as a trainer, then report `Prepared` with `plan_hash`."""

    plan_hash: bytes
    task: Task
    dimension: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get the bytes with this SHA-256 from the orchestrator, such as model parameters."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class DoTask:
    """Do `task` on the device's own data, then report `TaskDone` with `plan_hash`, also when it fails.

    `model` is the fetched model, None where the task has none.
    """

    plan_hash: bytes
    task: Task
    model: GlobalModel | None


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
    """Store the ledger charge together with the finished bytes: one transaction (PROTOCOL 5.2). `plan_hash` names the plan they are for."""

    entry: LedgerEntry
    sealed: bytes = field(repr=False)
    plan_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class KeepCharge:
    """Store a charge that others prove: this device contributed, and its store has forgotten it."""

    entry: LedgerEntry


@dataclass(frozen=True, slots=True)
class DropContribution:
    """The orchestrator's receipt is final: the stored bytes are no longer needed. The charge stays."""

    key_id: bytes
    round: int


@dataclass(frozen=True, slots=True)
class KeepStop:
    """Store that nothing is done under this key id any more, with what proves why.

    `reason`: `EQUIVOCATION` (two headers of the orchestrator), `ROSTER_CONFLICT` (two rosters of the owner), or `STORE_ROLLED_BACK` (this
    party's own word, or a receipt, of which its store knows nothing).
    """

    key_id: bytes
    reason: Refusal
    evidence: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeepShare:
    """Store the key share of the key in force."""

    key_id: bytes
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
class AcceptedContribution:
    """An accepted contribution as far as it is still needed once it was added to the sum.

    `whole_hash` is SHA-256 of the sealed bytes and `size` their number; `sealed_shares` go to the committee with the request.
    """

    verified: VerifiedBody
    whole_hash: bytes
    size: int
    sealed_shares: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def device_id(self) -> str:
        """The contributing device."""
        return self.verified.body.device_id


@dataclass(frozen=True, slots=True)
class KeepAccepted:
    """Store accepted contributions together with the running sum that holds them (`Sum.to_bytes`)."""

    round: int
    contributions: tuple[AcceptedContribution, ...] = field(repr=False)
    total: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeepRequest:
    """Store a decryption request before it is first sent."""

    round: int
    request: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeepReceivedAnswer:
    """Store a committee member's answer that passed: what was acknowledged is not asked for again."""

    round: int
    index: int
    answer: Signed = field(repr=False)


@dataclass(frozen=True, slots=True)
class DropReceivedAnswer:
    """Forget a member's answer that was proven wrong when the sum was opened; nothing happens if it was not stored."""

    round: int
    index: int


@dataclass(frozen=True, slots=True)
class KeepFloor:
    """Store that others hold a document of this orchestrator for this round, of which its store knows nothing: it signs nothing more."""

    key_id: bytes
    round: int


@dataclass(frozen=True, slots=True)
class KeepOutcome:
    """Store a finished round, released or aborted: its archive, and the progress of the job's task from now on."""

    key_epoch: int
    round: int
    archive: RoundArchive = field(repr=False)
    progress: Progress


Change = (
    KeepRoster
    | KeepSeen
    | KeepContribution
    | KeepCharge
    | DropContribution
    | KeepStop
    | KeepShare
    | DropShare
    | KeepAnswer
    | KeepRound
    | KeepAccepted
    | KeepRequest
    | KeepReceivedAnswer
    | DropReceivedAnswer
    | KeepFloor
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


@dataclass(frozen=True, slots=True)
class ZeroContributed:
    """This device's contribution is zero plus noise, and why. To be loud to its owner; nobody else may hear of it."""

    reason: str


Effect = Publish | Prepare | Fetch | DoTask | Persist | Refused | Alert | Note | ZeroContributed


def sorted_out(effects: tuple[Effect, ...]) -> tuple[tuple[Change, ...], tuple[Effect, ...]]:
    """The changes to store in one transaction, and what to do once they are durable."""
    changes = tuple(change for effect in effects if isinstance(effect, Persist) for change in effect.changes)
    return changes, tuple(effect for effect in effects if not isinstance(effect, Persist))


def require_accepted(effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """The same effects, for a step that nobody else will hear of. Raises the error of the first `Refused` among them."""
    for effect in effects:
        if isinstance(effect, Refused):
            raise effect.error
    return effects
