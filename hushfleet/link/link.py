"""The interface of a link to the programs: publish, subscribe, take what arrived."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from hushfleet.errors import LocalError

DEFAULT_MAX_BYTES = 120_000
"""Greatest message unless the broker announces less: fits the smallest limit of a common broker (128 KB)."""


class LinkError(LocalError):
    """The broker refused or is away. Proves nothing about any party."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as the broker delivered it. Who published it is not known from this: only signatures say."""

    topic: str
    data: bytes = field(repr=False)
    retained: bool = False
    """True if the broker keeps it, or has kept it, for those who subscribe later."""
    token: object = field(default=None, repr=False, compare=False)
    """The link's own, for `acknowledge`."""


class Link(Protocol):
    """One authenticated session with a broker, which survives its connections. Safe for several threads."""

    @property
    def identity(self) -> str:
        """The id under which the broker knows this session."""

    @property
    def max_bytes(self) -> int:
        """The greatest `data` that may be published now: the smaller of the configured and the broker's announced limit."""

    @property
    def connections(self) -> int:
        """The number of connections so far: a rise means that something may have been lost. 0 before the first."""

    @property
    def connected(self) -> bool:
        """True if there is a connection now."""

    def publish(self, topic: str, data: bytes, *, retain: bool = False, expiry_s: int | None = None) -> None:
        """Hand over one message, at least once. Returning is no proof of delivery.

        Empty retained data clear a retained topic. `expiry_s`: the broker forgets it then. Raises `LinkError`: the ACL forbids it,
        or `data` is above `max_bytes`.
        """

    def subscribe(self, pattern: str) -> None:
        """Receive what matches from now on, and what is retained. `+` stands for one level."""

    def unsubscribe(self, pattern: str) -> None:
        """Stop receiving what matches."""

    def change(self, wishes: Iterable[tuple[str, bool]]) -> None:
        """Subscribe (True) and unsubscribe (False), in this order, without waiting for each answer before the next question."""

    def receive(self, timeout_s: float | None = 0) -> Delivery | None:
        """The next message, or None after `timeout_s` without one; None waits for ever."""

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker to forget it: what it held is durable here. Until then it comes again after a lost connection."""

    def close(self) -> None:
        """Disconnect. The session stays at the broker, with what arrives meanwhile."""
