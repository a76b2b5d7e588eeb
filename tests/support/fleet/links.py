"""Devices and members of a fleet that speak over a broker by themselves, and an orchestrator's link beside which they live.

Contributions are encodings of zeros without noise: what a round comes to is known, and quick.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hushfleet.documents import EMPTY_JOURNAL, VerifiedPlan, open_plan
from hushfleet.link import Delivery, MemoryBroker, MemoryLink, Messenger
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.events import RequestArrived
from hushfleet.signing import Signed
from hushfleet.wire import NOTHING_KNOWN, DeviceStatus, Kind, Presence, Readiness, Topic, decode_signed, parse, sign_status
from tests.support.fleet import Fleet, published

if TYPE_CHECKING:
    from hushfleet.rounds.member import MemberState


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Others:
    """Everybody but the orchestrator, on a broker with a tape. `present` contribute, `answering` members answer; change both at will."""

    fleet: Fleet
    folder: Path
    present: set[str] = field(default_factory=set)
    answering: set[str] = field(default_factory=set)
    there: set[str] = field(default_factory=set)
    """Those who say that they are present, at once and whenever it changes."""
    plans: list[Signed] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    tape: list[tuple[str, Delivery]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name, self.clock = self.fleet.parties.owner.fleet, Clock()
        self.present, self.answering = set(self.fleet.names), set(self.fleet.parties.committee)
        self.broker = MemoryBroker(self.name, tap=self._record)
        self.there, self._said = set(self.fleet.names), set[str]()
        self.messengers: dict[str, Messenger] = {}
        self.members: dict[str, MemberState] = {}
        for name in self.fleet.names:
            messenger = Messenger(self.broker.connect(name, member=name in self.answering), self.folder / "spools" / name)
            messenger.subscribe(self.name, Kind.PLAN)
            messenger.subscribe(self.name, Kind.REQUEST)
            self.messengers[name] = messenger

    def _record(self, identity: str, delivery: Delivery) -> Delivery:
        self.tape.append((identity, delivery))
        return delivery

    def quiet_link(self) -> MemoryLink:
        """The orchestrator's link; nobody does anything that the test does not do."""
        self.present, self.answering = set(), set()
        return self.broker.connect("orchestrator", orchestrator=True)

    def lively_link(self) -> "LivelyLink":
        """The orchestrator's link; before it receives, everybody else does what they have to."""
        return LivelyLink(self.broker.connect("orchestrator", orchestrator=True), self)

    def sent(self, kind: Kind, *, by: str = "orchestrator") -> list[tuple[Topic, bytes]]:
        """Frames of this kind, in order; what clears a topic is left out."""
        found = [(parse(delivery.topic), delivery.data) for who, delivery in self.tape if who == by and delivery.data]
        return [(topic, data) for topic, data in found if topic.kind is kind]

    def pump(self) -> None:
        """Everybody says whether it is there, and handles what has come."""
        self.say(sorted(self.there - self._said))
        self.say(sorted(self._said - self.there), Presence.OFFLINE)
        self._said = set(self.there)
        for name, messenger in self.messengers.items():
            while (arrived := messenger.receive(0)) is not None:
                if arrived.topic.kind is Kind.PLAN and arrived.data:
                    self._contribute(name, arrived.data)
                elif arrived.topic.kind is Kind.REQUEST and name in self.fleet.parties.committee:
                    self._answer(name, arrived.data)
                messenger.acknowledge(arrived)

    def say(self, names: Iterable[str], presence: Presence = Presence.IDLE, number: int = 0, readiness: Readiness = NOTHING_KNOWN) -> None:
        for name in names:
            own, name_of_fleet = self.fleet.parties.devices[name].signing, self.name
            status = sign_status(DeviceStatus(name_of_fleet, name, presence, number, "1.0", bytes(16), EMPTY_JOURNAL, readiness), own)
            self.messengers[name].send(Topic(self.name, Kind.STATUS, device=name), status)

    def contribute(self, plan: VerifiedPlan, *names: str) -> None:
        """These devices send contributions of zeros."""
        for name in names:
            self.send(name, Kind.CONTRIBUTION, self.fleet.sealed(plan, name, self.fleet.body(plan, name)), plan.plan.round)

    def answer(self, request: bytes, number: int, *names: str) -> None:
        """These members answer the request of round `number`."""
        for name in names:
            before = self.members.get(name, self.fleet.member_state(name))
            self.members[name], effects = self.fleet.member(name).step(before, RequestArrived(request), SystemRandomness())
            for answer in published(effects, Kind.PARTIAL):
                self.send(name, Kind.PARTIAL, answer, number)

    def _contribute(self, name: str, data: bytes) -> None:
        signed = decode_signed(data)
        if signed not in self.plans:
            self.plans.append(signed)
        plan = open_plan(signed, self.fleet.roster.orchestrator)
        if name in self.present:
            self.contribute(plan, name)

    def _answer(self, name: str, data: bytes) -> None:
        self.requests.append(data)
        if name in self.answering:
            self.answer(data, max(plan_round(one) for one in self.plans), name)

    def send(self, name: str, kind: Kind, data: bytes, number: int = 1) -> None:
        """Anything on this party's topic of a round."""
        self.messengers[name].send(Topic(self.name, kind, device=name, number=number, chunk=0), data)


def plan_round(signed: Signed) -> int:
    """The number of a plan that nobody has verified."""
    return int(msgspec.msgpack.decode(signed.content)[1][4])


class LivelyLink:
    """An orchestrator's link: before it receives, everybody else does what they have to. Waiting in vain moves the clock."""

    def __init__(self, link: MemoryLink, others: Others) -> None:
        self._link, self._others = link, others
        self.before_receiving: Callable[[], None] = lambda: None
        self.connections = 1
        self.away = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._link, name)

    def publish(self, topic: str, data: bytes, *, retain: bool = False, expiry_s: int | None = None) -> None:
        self._link.publish(topic, data, retain=retain, expiry_s=expiry_s)

    def receive(self, timeout_s: float | None = 0) -> Delivery | None:
        self.before_receiving()
        self._others.pump()
        found = self._link.receive(0)
        if found is None:
            self._others.clock.seconds += timeout_s or 0
        return found
