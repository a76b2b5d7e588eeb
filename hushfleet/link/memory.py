"""A broker in this process: retained messages, sessions that survive their connection, and the ACL of the topic table.

For the simulator, the attack tests, the library example and the demo where no broker is installed.
All parties then share one process; nothing but the link is different.
"""

import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from hushfleet.errors import Refusal
from hushfleet.link.link import DEFAULT_MAX_BYTES, Delivery, LinkError
from hushfleet.wire.topics import Kind, acl, matches, subscription

Tap = Callable[[str, Delivery], Delivery | None]
"""Sees every publication (identity, delivery) and returns what to deliver instead, or None to drop it."""


class MemoryBroker:
    """Delivers between sessions of one fleet. Thread safe. `tap` is how a test plays a malicious network."""

    def __init__(self, fleet: str, tap: Tap | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.fleet = fleet
        self.tap = tap
        self.max_bytes = max_bytes
        self.bytes_published: dict[str, int] = {}
        self._retained: dict[str, Delivery] = {}
        self._sessions: dict[str, MemoryLink] = {}
        self._lock = threading.RLock()

    def connect(self, identity: str, *, orchestrator: bool = False, member: bool = False) -> "MemoryLink":
        """The session of an identity: a new one, or the one it had, with what arrived meanwhile."""
        rules = acl(self.fleet, identity, orchestrator=orchestrator, member=member)
        with self._lock:
            session = self._sessions.setdefault(identity, MemoryLink(self, identity))
            session.allow(rules)
            return session

    def eavesdrop(self, identity: str) -> "MemoryLink":
        """A session that may read and publish everything, as whoever runs a broker can."""
        everything = [subscription(self.fleet, kind) for kind in Kind]
        with self._lock:
            session = self._sessions.setdefault(identity, MemoryLink(self, identity))
            session.allow(tuple((verb, pattern) for verb in ("read", "write") for pattern in everything))
            return session

    def deliver(self, identity: str, delivery: Delivery, *, retain: bool) -> None:
        """Route one publication to every session that subscribed to it, through the tap."""
        with self._lock:
            self.bytes_published[identity] = self.bytes_published.get(identity, 0) + len(delivery.data)
            passed = self.tap(identity, delivery) if self.tap else delivery
            if passed is None:
                return
            passed = replace(passed, retained=retain)
            if retain:
                self._retain(passed)
            for session in self._sessions.values():
                session.offer(passed)

    def subscribe(self, session: "MemoryLink", pattern: str) -> None:
        """Add a filter to a session and offer it what is retained there, before anything that is published afterwards."""
        with self._lock:
            session.patterns.add(pattern)
            for topic, delivery in sorted(self._retained.items()):
                if matches(pattern, topic):
                    session.offer(delivery)

    def unsubscribe(self, session: "MemoryLink", pattern: str) -> None:
        """Take a filter from a session."""
        with self._lock:
            session.patterns.discard(pattern)

    def _retain(self, delivery: Delivery) -> None:
        if delivery.data:
            self._retained[delivery.topic] = delivery
        else:
            self._retained.pop(delivery.topic, None)


class MemoryLink:
    """One session. Made by `MemoryBroker.connect`; satisfies `Link`."""

    def __init__(self, broker: MemoryBroker, identity: str) -> None:
        self._broker = broker
        self._identity = identity
        self._writable: tuple[str, ...] = ()
        self._readable: tuple[str, ...] = ()
        self._clearable: tuple[str, ...] = ()
        self.patterns: set[str] = set()
        self._arrived: queue.SimpleQueue[Delivery] = queue.SimpleQueue()

    @property
    def identity(self) -> str:
        """The id under which the broker knows this session."""
        return self._identity

    def allow(self, rules: tuple[tuple[str, str], ...]) -> None:
        """The ACL of this identity from now on. Called by the broker."""
        self._writable = tuple(pattern for verb, pattern in rules if verb == "write")
        self._readable = tuple(pattern for verb, pattern in rules if verb == "read")
        self._clearable = tuple(pattern for verb, pattern in rules if verb == "clear")

    @property
    def max_bytes(self) -> int:
        """The usual limit of a broker, so that transfers are split as over MQTT."""
        return self._broker.max_bytes

    @property
    def connections(self) -> int:
        """A session in memory is connected once."""
        return 1

    @property
    def connected(self) -> bool:
        """True until `close`: a memory link never loses its connection."""
        return True

    def acknowledge(self, delivery: Delivery) -> None:
        """Do nothing: in memory nothing is kept for a second delivery."""

    def close(self) -> None:
        """The session stays, with what arrives meanwhile."""

    def publish(self, topic: str, data: bytes, *, retain: bool = False, expiry_s: int | None = None) -> None:
        """Deliver at once; what is delivered at once does not expire. Raises `LinkError` where the ACL forbids it, or for its size."""
        del expiry_s
        if len(data) > self.max_bytes:
            raise LinkError(Refusal.MESSAGE_TOO_LARGE, f"{len(data)} bytes on {topic}, at most {self.max_bytes} in one message")
        allowed = self._writable if data else self._writable + self._clearable
        if not any(matches(pattern, topic) for pattern in allowed):
            raise LinkError(Refusal.LINK_FORBIDDEN, f"{self._identity} may not publish on {topic}")
        self._broker.deliver(self._identity, Delivery(topic, bytes(data)), retain=retain)

    def subscribe(self, pattern: str) -> None:
        """Receive from now on, and what is retained. Like Mosquitto, grants a forbidden filter and delivers nothing on it."""
        self._broker.subscribe(self, pattern)

    def unsubscribe(self, pattern: str) -> None:
        """Stop receiving what matches."""
        self._broker.unsubscribe(self, pattern)

    def change(self, wishes: Iterable[tuple[str, bool]]) -> None:
        """Subscribe (True) and unsubscribe (False), in this order."""
        for pattern, wanted in wishes:
            (self.subscribe if wanted else self.unsubscribe)(pattern)

    def offer(self, delivery: Delivery) -> None:
        """Queue a delivery if this session asked for it and may read it. Called by the broker."""
        asked = any(matches(pattern, delivery.topic) for pattern in self.patterns)
        if asked and any(matches(pattern, delivery.topic) for pattern in self._readable):
            self._arrived.put(delivery)

    def receive(self, timeout_s: float | None = 0) -> Delivery | None:
        """The next message, or None after `timeout_s` without one."""
        try:
            return self._arrived.get(timeout=timeout_s) if timeout_s != 0 else self._arrived.get_nowait()
        except queue.Empty:
            return None
