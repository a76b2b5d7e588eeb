"""The messages that wait to be published, and those that the broker has not acknowledged yet. Bounded; knows nothing of a network.

Not thread safe: the link's lock guards it.
"""

import math
from collections import deque
from dataclasses import dataclass, field

MOST_MESSAGES = 256
MOST_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish. `expires_s`: the moment of the link's clock after which nobody wants it."""

    topic: str
    data: bytes = field(repr=False)
    retain: bool = False
    expires_s: float = math.inf


class Outbox:
    """Messages in the order of `put`. At most `window` are in flight; what was in flight when a connection is lost goes again, first."""

    def __init__(self, most_messages: int = MOST_MESSAGES, most_bytes: int = MOST_BYTES) -> None:
        self.window = 0
        self._most_messages, self._most_bytes = most_messages, most_bytes
        self._waiting: deque[Outgoing] = deque()
        self._in_flight: dict[int, Outgoing] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """The number of messages waiting or in flight."""
        return len(self._waiting) + len(self._in_flight)

    @property
    def in_flight(self) -> int:
        """The number of messages that the broker has yet to acknowledge."""
        return len(self._in_flight)

    def has_room(self, size: int) -> bool:
        """True if a message of `size` bytes may be put now. One that is above the bound alone may, once all is empty."""
        return not len(self) or (len(self) < self._most_messages and self._bytes + size <= self._most_bytes)

    def put(self, message: Outgoing) -> None:
        """Add a message at the end. ValueError without room."""
        if not self.has_room(len(message.data)):
            raise ValueError("no room")
        self._waiting.append(message)
        self._bytes += len(message.data)

    def take(self, now_s: float) -> Outgoing | None:
        """The next to publish, if the window is open; `sent` or `dropped` must follow."""
        self.expire(now_s)
        return self._waiting.popleft() if self._waiting and len(self._in_flight) < self.window else None

    def expire(self, now_s: float) -> None:
        """Drop what expired while it waited."""
        for message in self._waiting:
            if message.expires_s <= now_s:
                self.dropped(message)
        self._waiting = deque(message for message in self._waiting if message.expires_s > now_s)

    def sent(self, number: int, message: Outgoing) -> None:
        """`message` is in flight under the link's `number`."""
        self._in_flight[number] = message

    def dropped(self, message: Outgoing) -> None:
        """`message`, just taken, is given up."""
        self._bytes -= len(message.data)

    def acknowledged(self, number: int) -> Outgoing | None:
        """The message in flight under `number` is done; None if there is none."""
        message = self._in_flight.pop(number, None)
        if message is not None:
            self.dropped(message)
        return message

    def lost(self) -> None:
        """The connection is gone: nothing is in flight any more, and nothing may go until `window` is set again."""
        self._waiting.extendleft(reversed(self._in_flight.values()))
        self._in_flight.clear()
        self.window = 0
