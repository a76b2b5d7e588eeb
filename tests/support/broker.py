"""Links with a real broker, for end-to-end tests: who takes part, and what a test may do to the connection."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hushfleet.link.mqtt.client import MqttLink
from hushfleet.randomness import SystemRandomness
from hushfleet.wire import Kind
from tests.support.link_contract import DEVICE, FLEET, MEMBER, filter_of, topic
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import LIMIT_S

ORCHESTRATOR = "orchestrator"
STATUS = topic(Kind.STATUS, device=DEVICE)


@contextmanager
def running(folder: Path, extra: str = "") -> Iterator[Mosquitto]:
    """A broker for an orchestrator, a member and a device."""
    parties = {ORCHESTRATOR: {"orchestrator": True}, MEMBER: {"member": True}, DEVICE: {}}
    broker = Mosquitto(folder, FLEET, parties, extra)
    try:
        yield broker.start()
    finally:
        broker.stop()


@dataclass
class Links:
    """Opens links with one broker, remembers what they report, and closes them."""

    broker: Mosquitto
    problems: dict[str, list[str]] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)

    def make(self, identity: str, **changes: object) -> MqttLink:
        """A link that is opened but may not come to be connected."""
        heard = self.problems.setdefault(identity, [])
        link = MqttLink(self.broker.options(identity, **changes), SystemRandomness(), heard.append)
        self._open.enter_context(closing(link))
        link.open()
        return link

    def connect(self, identity: str, **changes: object) -> MqttLink:
        """A link that is connected."""
        link = self.make(identity, **changes)
        assert link.wait_connected(LIMIT_S), link.problem
        return link

    def close(self) -> None:
        self._open.close()


def arrivals(link: MqttLink, count: int) -> list[bytes]:
    """The next `count` messages, acknowledged."""
    taken = []
    for _ in range(count):
        delivery = link.receive(LIMIT_S)
        assert delivery is not None, f"only {taken} arrived; {link.problem}"
        link.acknowledge(delivery)
        taken.append(delivery.data)
    return taken


def until(link: MqttLink, last: bytes) -> list[bytes]:
    """What arrives up to and with `last`, each once, in the order of its first arrival: duplicates are normal."""
    taken: list[bytes] = []
    while last not in taken:
        taken += arrivals(link, 1)
    return list(dict.fromkeys(taken))


def subscribed(link: MqttLink, kind: Kind) -> MqttLink:
    """The same link, which now gets all of a kind."""
    link.subscribe(filter_of(kind))
    return link
