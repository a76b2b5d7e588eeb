"""Events: everything that can happen to a machine. Bytes are as they arrived: nothing in an event has been verified."""

from dataclasses import dataclass, field

from hushfleet.errors import LocalError
from hushfleet.training import LocalUpdate


@dataclass(frozen=True, slots=True)
class RosterArrived:
    """A signed roster, from a file or the broker."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlanArrived:
    """A signed plan."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlanCleared:
    """The orchestrator has cleared the plan: its round takes nothing more."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Bytes that were asked for with `Fetch`."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The program has looked for what a plan's task needs besides data. `problem`: the reason why this device cannot do the task."""

    plan_hash: bytes
    problem: LocalError | None = None


@dataclass(frozen=True, slots=True)
class TaskDone:
    """The task of a plan ended: with an update, or without one for the `reason`, which stays in the local log."""

    plan_hash: bytes
    update: LocalUpdate | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReceiptArrived:
    """A signed receipt."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EvidenceArrived:
    """Two signed headers, said to contradict each other, from the committee member with this device id."""

    device_id: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReadBack:
    """The program has read back what others hold of this party, and nothing of it is ahead of the store (PROTOCOL 8)."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """This party's own signed word, read back from others, is ahead of its store: the store has forgotten.

    `evidence` is that word, `spent_nano` what it says that the device has spent, None if it does not say, and `round` the round it names.
    """

    evidence: bytes = field(repr=False)
    spent_nano: int | None = None
    round: int = 0


@dataclass(frozen=True, slots=True)
class Connected:
    """The link is up (again): send what may have been lost."""


@dataclass(frozen=True, slots=True)
class InboxArrived:
    """A delivery to this committee member alone."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class GrantArrived:
    """A sealed key share, from the owner's bundle."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RequestArrived:
    """A decryption request."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RoundWanted:
    """The program wants the next round to start. `now_ms` comes from a monotonic clock.

    `seen`: the highest round that devices say they saw under the key in force. Where this orchestrator has begun none under it, as one
    that replaces another, its first number lies above: devices refuse a round that is not.
    """

    now_ms: int = 0
    seen: int = 0


@dataclass(frozen=True, slots=True)
class ContributionsArrived:
    """Sealed contributions, verified together: (device id from the topic, sealed bytes)."""

    contributions: tuple[tuple[str, bytes], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The plan's deadline is over: the round closes as soon as it has enough contributions."""


@dataclass(frozen=True, slots=True)
class AnswerArrived:
    """A sealed answer from the committee member with this device id."""

    device_id: str
    data: bytes = field(repr=False)
    now_ms: int = 0


@dataclass(frozen=True, slots=True)
class AbortWanted:
    """The program gives the round up."""

    reason: str
    now_ms: int = 0
