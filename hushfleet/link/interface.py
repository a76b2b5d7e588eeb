"""What the programs ask of a link: publish, subscribe, take what arrived."""

from dataclasses import dataclass, field
from typing import Protocol

from hushfleet.errors import LocalError


class LinkError(LocalError):
    """The broker refused or is away. Proves nothing about any party."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as the broker delivered it. Who published it is not known from this: only signatures say."""

    topic: str
    data: bytes = field(repr=False)
    retained: bool = False


class Link(Protocol):
    """One authenticated session with a broker."""

    @property
    def identity(self) -> str:
        """The id under which the broker knows this session."""

    def publish(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        """Hand over one message. Returning is no proof of delivery. Empty retained data clear a retained topic."""

    def subscribe(self, pattern: str) -> None:
        """Receive what matches from now on, and what is retained. `+` stands for one level."""

    def unsubscribe(self, pattern: str) -> None:
        """Stop receiving what matches."""

    def receive(self, timeout_s: float | None = 0) -> Delivery | None:
        """The next message, or None after `timeout_s` without one; None waits for ever."""
