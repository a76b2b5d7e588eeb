"""A session with a broker that survives its connections: its outbox, its inbox and its filters.

Knows nothing of packets or sockets; `network` runs the connections that carry it.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hushfleet.errors import Refusal
from hushfleet.link.link import Delivery, LinkError
from hushfleet.link.mqtt.filters import FilterChange, Filters
from hushfleet.link.mqtt.network import Connect, Connection, Network
from hushfleet.link.mqtt.options import PACKET_OVERHEAD_BYTES, MqttOptions
from hushfleet.link.mqtt.outbox import Outbox, Outgoing
from hushfleet.randomness import Randomness
from hushfleet.system.repeats import Problems
from hushfleet.wire.topics import acl, matches

_ANSWER_S = 20.0
_DRAIN_S = 5.0
_MOST_REFUSALS = 64
_NOT_AUTHORIZED = 0x87


@dataclass(frozen=True, slots=True)
class _Token:
    """A delivery's number on its connection: an acknowledgement means nothing on another connection."""

    connection: int
    number: int


class Session:
    """Satisfies `Link`.

    `publish` queues (at most 256 messages or 8 MB) and waits up to `patience_s` for room; then it refuses. What is queued goes in
    order, at most a window at a time; what the broker has not acknowledged when a connection is lost goes again. The queue is
    memory: what must survive this process is kept, and sent again, by the program. At most eight deliveries (64 to the orchestrator)
    are outstanding, so a program that does not acknowledge gets no more.
    """

    def __init__(self, options: MqttOptions, connect: Connect, randomness: Randomness, on_problem: Callable[[str], None]) -> None:
        """Make a session that does nothing before `open`."""
        self._options = options
        # Who is on the committee may change while a session lasts: the broker's own list knows, this one holds what a member may.
        rules = acl(options.fleet, options.identity, orchestrator=options.orchestrator, member=not options.orchestrator)
        self._writable = tuple(pattern for verb, pattern in rules if verb == "write")
        self._clearable = tuple(pattern for verb, pattern in rules if verb == "clear")
        self._changed = threading.Condition()
        self._outbox = Outbox()
        self._filters = Filters()
        self._changes: deque[FilterChange] = deque()
        self._inbox: deque[Delivery] = deque()
        self._outstanding: set[int] = set()
        self._acknowledgements: deque[int] = deque()
        self._refusals: dict[str, tuple[Refusal, str]] = {}
        self._connections = 0
        self._connected = False
        self._closed = False
        self._max_bytes = options.max_bytes
        self._problems = Problems(on_problem)
        self._network = Network(options, self, connect, randomness, self._problems)

    @property
    def identity(self) -> str:
        """The id under which the broker knows this session."""
        return self._options.identity

    @property
    def max_bytes(self) -> int:
        """The greatest `data` that may be published now: the smaller of the configured and the broker's announced limit."""
        return self._max_bytes

    @property
    def connections(self) -> int:
        """The number of connections that the broker has accepted so far."""
        return self._connections

    @property
    def connected(self) -> bool:
        """True while there is a connection."""
        return self._connected

    @property
    def problem(self) -> str:
        """The present problem, in words for a person; empty while there is none."""
        return self._problems.current

    def open(self) -> None:
        """Connect, and go on connecting, in a thread of its own."""
        self._network.start()

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a connection, up to `timeout_s`. True if there is one; else `problem` says why not."""
        with self._changed:
            return self._changed.wait_for(lambda: self._connected, timeout_s)

    def alive_within_s(self, seconds: float) -> bool:
        """True if the network thread has shown life in the last `seconds`, connected or not. For a watchdog."""
        return self._network.alive_within_s(seconds)

    def publish(self, topic: str, data: bytes, *, retain: bool = False, expiry_s: int | None = None) -> None:
        """Queue one message.

        Raises `LinkError`: `MESSAGE_TOO_LARGE`; `LINK_FORBIDDEN` for a topic outside the table, or once if the broker refused the
        last message on it; `LINK_AWAY` if there is no room for `patience_s`, or the link is closed.
        """
        allowed = self._writable if data else self._writable + self._clearable
        if not self._options.leave_to_broker and not any(matches(pattern, topic) for pattern in allowed):
            raise LinkError(Refusal.LINK_FORBIDDEN, f"{self.identity} may not publish on {topic}")
        if len(data) > self._max_bytes:
            raise LinkError(Refusal.MESSAGE_TOO_LARGE, f"{len(data)} bytes on {topic}, at most {self._max_bytes} in one message")
        expires_s = math.inf if expiry_s is None else time.monotonic() + expiry_s
        with self._changed:
            if topic in self._refusals:
                raise LinkError(*self._refusals.pop(topic))
            self._wait_for_room(len(data))
            self._outbox.put(Outgoing(topic, bytes(data), retain, expires_s))
        self._network.wake()

    def flush(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` for the broker to acknowledge all that was published. True if it did."""
        with self._changed:
            return self._changed.wait_for(lambda: not len(self._outbox), timeout_s)

    def subscribe(self, pattern: str) -> None:
        """Receive what matches from now on, and what is retained. Holds for every later connection.

        Returns once the broker has it, or at once without a connection. Raises `LinkError(LINK_FORBIDDEN)` if the broker refuses.
        """
        self.change([(pattern, True)])

    def unsubscribe(self, pattern: str) -> None:
        """Stop receiving what matches. Returns and raises as `subscribe`."""
        self.change([(pattern, False)])

    def change(self, wishes: Iterable[tuple[str, bool]]) -> None:
        """Subscribe (True) and unsubscribe (False), in this order. Returns once the broker answered all; raises as `subscribe`."""
        with self._changed:
            changes = [self._filters.change(pattern, wanted=wanted) for pattern, wanted in wishes]
            if self._connected:
                self._changes.extend(changes)
                self._network.wake()
                self._changed.wait_for(lambda: all(change.over for change in changes), _ANSWER_S)
        for change in changes:
            if change.refusal:
                raise LinkError(Refusal.LINK_FORBIDDEN, f"the broker refuses the filter {change.pattern}: {change.refusal}")

    def receive(self, timeout_s: float | None = 0) -> Delivery | None:
        """The next message, or None after `timeout_s` without one, or once the link is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._inbox or self._closed, timeout_s)
            return self._inbox.popleft() if self._inbox else None

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker that it may forget the delivery. If its connection is gone nothing is told, and the delivery comes again."""
        token = delivery.token
        with self._changed:
            if isinstance(token, _Token) and token.connection == self._connections and token.number in self._outstanding:
                self._outstanding.discard(token.number)
                self._acknowledgements.append(token.number)
        self._network.wake()

    def close(self) -> None:
        """Wait up to some seconds for the queue to empty, then disconnect. The session stays, and no last will is published."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._connected and len(self._outbox)), _DRAIN_S)
            self._closed = True
            self._changed.notify_all()
        self._network.stop()

    def carry(self, connection: Connection) -> None:
        """Hand over to `connection` what is due. Called by the network thread, like everything below."""
        with self._changed:
            if not self._connected:
                return
            while self._acknowledgements:
                connection.acknowledge(self._acknowledgements.popleft())
            while self._changes:
                self._ask(connection, self._changes.popleft())
            while (message := self._outbox.take(time.monotonic())) is not None:
                self._send(connection, message)
            self._changed.notify_all()

    def lost(self) -> None:
        """Note that the connection is gone, and take back what it had not finished."""
        with self._changed:
            self._connected = False
            self._outbox.lost()
            self._filters.lost()
            self._changes.clear()
            self._acknowledgements.clear()
            self._outstanding.clear()
            self._changed.notify_all()

    def on_connected(self, *, session_present: bool, most_packet_bytes: int, receive_maximum: int) -> None:
        """The broker has this session. What it delivered before, unacknowledged, it delivers again, if it kept the session."""
        with self._changed:
            self._connections += 1
            self._connected = True
            self._max_bytes = max(0, min(self._options.max_bytes, most_packet_bytes - PACKET_OVERHEAD_BYTES))
            self._outbox.window = min(self._options.window, receive_maximum)
            self._changes.extend(self._filters.wishes())
            if session_present:
                self._inbox.clear()
            self._changed.notify_all()
        self._problems.solved()

    def on_published(self, number: int, code: int, refusal: str) -> None:
        """The broker took a message, or refused it."""
        with self._changed:
            message = self._outbox.acknowledged(number)
            self._changed.notify_all()
        if message is not None and refusal:
            self._refuse(message.topic, Refusal.LINK_FORBIDDEN if code == _NOT_AUTHORIZED else Refusal.LINK_AWAY, refusal)

    def on_answered(self, number: int, refusal: str) -> None:
        """The broker answered a change of filters."""
        with self._changed:
            change = self._filters.answered(number, refusal)
            self._changed.notify_all()
        if change is not None and refusal:
            self._problems.report(f"The broker refuses the filter {change.pattern}: {refusal}.")

    def on_arrived(self, topic: str, data: bytes, *, retained: bool, number: int) -> None:
        """Take a delivery into the inbox, for `receive`."""
        with self._changed:
            self._outstanding.add(number)
            self._inbox.append(Delivery(topic, data, retained, _Token(self._connections, number)))
            self._changed.notify_all()

    def _wait_for_room(self, size: int) -> None:
        self._outbox.expire(time.monotonic())
        if not self._changed.wait_for(lambda: self._closed or self._outbox.has_room(size), self._options.patience_s):
            raise LinkError(Refusal.LINK_AWAY, f"the broker has taken nothing for {self._options.patience_s:g} s and the queue is full")
        if self._closed:
            raise LinkError(Refusal.LINK_AWAY, "the link is closed")

    def _ask(self, connection: Connection, change: FilterChange) -> None:
        number = connection.ask(change)
        if number is not None:
            self._filters.asked(number, change)

    def _send(self, connection: Connection, message: Outgoing) -> None:
        if len(message.data) > self._max_bytes:  # it was queued for a broker that took more
            self._outbox.dropped(message)
            self._refuse(message.topic, Refusal.MESSAGE_TOO_LARGE, f"the broker now takes {self._max_bytes} bytes at most")
            return
        self._outbox.sent(connection.publish(message, time.monotonic()), message)

    def _refuse(self, topic: str, reason: Refusal, why: str) -> None:
        """Report the refusal now, and keep it for the next `publish` on this topic."""
        self._refusals[topic] = (reason, f"the last message on {topic} was refused: {why}")
        if len(self._refusals) > _MOST_REFUSALS:
            self._refusals.pop(next(iter(self._refusals)))
        self._problems.report(f"A message on {topic} was refused: {why}.")
