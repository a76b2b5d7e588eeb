"""A broker as bad as real ones: it loses with a broken connection, delivers twice, late and in another order, and never invents."""

from collections.abc import Callable

from hushfleet.link.link import Delivery
from hushfleet.link.memory import MemoryBroker, MemoryLink
from hushfleet.wire.topics import acl, parse
from simulation.faults.chance import Chance, Power

LOST, TWICE, LATE = 0.01, 0.03, 0.05


class FaultyBroker(MemoryBroker):
    """Sessions live as long as the broker. Unlike a program it is never at fault for the order within one topic."""

    def __init__(self, fleet: str, chance: Chance, left: Callable[[str, Delivery], None]) -> None:
        """`left` is told of every message that a party handed over, lost ones too: the network has seen it."""
        super().__init__(fleet)
        self.chance, self.left = chance, left

    def join(self, power: Power, *, orchestrator: bool = False, member: bool = False) -> "FaultyLink":
        """The session of a party that has started."""
        session = self._sessions.get(power.party)
        if not isinstance(session, FaultyLink):
            session = FaultyLink(self, power)
            self._sessions[power.party] = session
        session.allow(acl(self.fleet, power.party, orchestrator=orchestrator, member=member))
        session.reconnect()
        return session


class FaultyLink(MemoryLink):
    """One session with the guarantees of MQTT's "at least once" and nothing more."""

    def __init__(self, broker: FaultyBroker, power: Power) -> None:
        super().__init__(broker, power.party)
        self._faulty, self._power, self._chance = broker, power, broker.chance
        self._queue: list[Delivery] = []
        self._unacknowledged: list[Delivery] = []
        self._connections = 0
        self.will: tuple[str, bytes] | None = None

    @property
    def connections(self) -> int:
        """Rises with every broken connection."""
        return self._connections

    def reconnect(self) -> None:
        """The connection broke and is back: what was not acknowledged comes again, before anything else."""
        self._connections += 1
        self._queue = self._unacknowledged + self._queue
        self._unacknowledged = []

    def die(self) -> None:
        """The party is gone: the broker publishes its last word."""
        if self.will is not None:
            self._faulty.deliver(self.identity, Delivery(*self.will), retain=True)

    def publish(self, topic: str, data: bytes, *, retain: bool = False, expiry_s: int | None = None) -> None:
        """Hand over one message, with a moment for the power to go before and after it."""
        name = parse(topic).kind.name.lower()
        self._power.moment(f"before sending {name}")
        self._chance.tell(self.identity, f"sends {name}{'' if data else ' (cleared)'}")
        self._faulty.left(self.identity, Delivery(topic, bytes(data)))
        if self._chance.strikes("lost", LOST, self.identity):
            self.reconnect()
        else:
            super().publish(topic, data, retain=retain, expiry_s=expiry_s)
        self._power.moment(f"after sending {name}")

    def offer(self, delivery: Delivery) -> None:
        """Queue what this session asked for and may read."""
        super().offer(delivery)
        while (taken := super().receive(0)) is not None:
            self._queue.append(taken)

    def receive(self, timeout_s: float | None = 0) -> Delivery | None:
        """The next message. Nobody waits: time passes between steps."""
        del timeout_s
        if not self._queue or self._chance.strikes("delayed", LATE, self.identity):
            return None
        place = 0
        if len(self._queue) > 1 and self._chance.strikes("reordered", LATE, self.identity):
            place = self._first_of_its_topic(self._chance.below(len(self._queue)))
        delivery = self._queue.pop(place)
        if self._chance.strikes("lost", LOST, self.identity):
            self.reconnect()
            return None
        if self._chance.strikes("duplicated", TWICE, self.identity):
            self._queue.insert(0, delivery)
        self._unacknowledged.append(delivery)
        return delivery

    def acknowledge(self, delivery: Delivery) -> None:
        """The broker forgets it, with a moment for the power to go before."""
        self._power.moment("before acknowledging")
        for place, one in enumerate(self._unacknowledged):
            if one is delivery:
                del self._unacknowledged[place]
                return

    def _first_of_its_topic(self, place: int) -> int:
        topic = self._queue[place].topic
        return next(number for number, one in enumerate(self._queue) if one.topic == topic)
