"""The settings with which one party reaches its broker."""

import ssl
from dataclasses import dataclass, field

from hushfleet.link.link import DEFAULT_MAX_BYTES

WINDOW = 8
"""Most messages in flight each way: with eight of the usual size, a megabyte waits in memory for an acknowledgement."""
HUB_WINDOW = 64
"""Most deliveries to the orchestrator in flight: with fewer, one device's flood fills its queue before it is seen for one."""
MOST_PACKET_BYTES = 1 << 17
"""Greatest packet that anybody of a fleet sends, and that a device takes: a broker keeps larger ones from it."""
MOST_CLEARED_BYTES = 1 << 20
"""Greatest packet that the orchestrator takes: what it sees it can clear."""
PACKET_OVERHEAD_BYTES = 1024
"""More than everything in a packet besides its data."""


@dataclass(frozen=True, slots=True)
class LastWill:
    """The message that the broker publishes once this session has been without a connection for `delay_s`, unless it was closed."""

    topic: str
    data: bytes
    retain: bool = True
    delay_s: int = 10


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """The broker's address, the identity to appear as, and the bounds. `context` comes from `hushfleet.link.tls.client_context`.

    ValueError: `max_bytes` is outside 1,024..130,048, or `window` outside 1..8.
    """

    host: str
    port: int
    fleet: str
    identity: str
    context: ssl.SSLContext = field(repr=False)
    orchestrator: bool = False
    leave_to_broker: bool = False
    """Publish on any topic and let the broker refuse: for those who play attackers."""
    will: LastWill | None = None
    session_expiry_s: int = 7 * 86400
    """The time for which the broker keeps the session, and what arrives for it, without a connection."""
    keep_alive_s: int = 60
    max_bytes: int = DEFAULT_MAX_BYTES
    window: int = WINDOW
    patience_s: float = 20.0
    """The time for which `publish` waits for room before it refuses."""
    retry_s: tuple[float, float] = (1.0, 120.0)
    """The first and the greatest bound of the random pause between two attempts to connect; at most 8 s while nobody can be reached."""

    @property
    def receive_maximum(self) -> int:
        """The most deliveries that may wait for this session's acknowledgement."""
        return HUB_WINDOW if self.orchestrator else WINDOW

    @property
    def most_packet_bytes(self) -> int:
        """The greatest packet that this session takes."""
        return MOST_CLEARED_BYTES if self.orchestrator else MOST_PACKET_BYTES

    def __post_init__(self) -> None:
        if not 1024 <= self.max_bytes <= MOST_PACKET_BYTES - PACKET_OVERHEAD_BYTES or not 1 <= self.window <= WINDOW:
            raise ValueError("max_bytes or window out of range")
