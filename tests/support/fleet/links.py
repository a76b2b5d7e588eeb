"""Devices and members of a fleet that speak over a link by themselves, and an orchestrator's link beside which they live.

Contributions are encodings of zeros without noise: what a round comes to is known, and quick.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hushfleet.documents import EMPTY_JOURNAL, open_plan
from hushfleet.link import Delivery, MemoryBroker, MemoryLink, Messenger
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.events import RequestArrived
from hushfleet.signing import Signed
from hushfleet.wire import NOTHING_KNOWN, DeviceStatus, Kind, Presence, Readiness, Topic, decode_signed, sign_status
from tests.support.fleet import Fleet, published

if TYPE_CHECKING:
    from hushfleet.rounds.member import MemberState


@dataclass
class Others:
    """Everybody but the orchestrator. `present` contribute, `answering` members answer; both may be changed at any time."""

    fleet: Fleet
    broker: MemoryBroker
    folder: Path
    present: set[str] = field(default_factory=set)
    answering: set[str] = field(default_factory=set)
    plans: list[Signed] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.present, self.answering = set(self.fleet.names), set(self.fleet.parties.committee)
        self.messengers: dict[str, Messenger] = {}
        self.members: dict[str, MemberState] = {}
        for name in self.fleet.names:
            messenger = Messenger(self.broker.connect(name, member=name in self.answering), self.folder / "spools" / name)
            messenger.subscribe(self.fleet.roster.roster.fleet, Kind.PLAN)
            messenger.subscribe(self.fleet.roster.roster.fleet, Kind.REQUEST)
            self.messengers[name] = messenger

    def pump(self) -> None:
        """Everybody handles what has come."""
        for name, messenger in self.messengers.items():
            while (arrived := messenger.receive(0)) is not None:
                if arrived.topic.kind is Kind.PLAN and arrived.data:
                    self._contribute(name, arrived.data)
                elif arrived.topic.kind is Kind.REQUEST and name in self.fleet.parties.committee:
                    self._answer(name, arrived.data)
                messenger.acknowledge(arrived)

    def say(self, names: Iterable[str], presence: Presence = Presence.IDLE, number: int = 0, readiness: Readiness = NOTHING_KNOWN) -> None:
        for name in names:
            own, name_of_fleet = self.fleet.parties.devices[name].signing, self.fleet.roster.roster.fleet
            status = sign_status(DeviceStatus(name_of_fleet, name, presence, number, "1.0", bytes(16), EMPTY_JOURNAL, readiness), own)
            self.messengers[name].send(Topic(self.fleet.roster.roster.fleet, Kind.STATUS, device=name), status)

    def _contribute(self, name: str, data: bytes) -> None:
        signed = decode_signed(data)
        if signed not in self.plans:
            self.plans.append(signed)
        plan = open_plan(signed, self.fleet.roster.orchestrator)
        if name in self.present:
            sealed = self.fleet.sealed(plan, name, self.fleet.body(plan, name))
            self._send(name, Kind.CONTRIBUTION, sealed, plan.plan.round)

    def _answer(self, name: str, data: bytes) -> None:
        self.requests.append(data)
        if name not in self.answering:
            return
        before = self.members.get(name, self.fleet.member_state(name))
        self.members[name], effects = self.fleet.member(name).step(before, RequestArrived(data), SystemRandomness())
        for answer in published(effects, Kind.PARTIAL):
            self._send(name, Kind.PARTIAL, answer, max(plan_round(one) for one in self.plans))

    def _send(self, name: str, kind: Kind, data: bytes, number: int) -> None:
        self.messengers[name].send(Topic(self.fleet.roster.roster.fleet, kind, device=name, number=number, chunk=0), data)


def plan_round(signed: Signed) -> int:
    """The number of a plan that nobody has verified."""
    return int(msgspec.msgpack.decode(signed.content)[1][4])


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class LivelyLink:
    """An orchestrator's link: before it receives, everybody else does what they have to. Waiting in vain moves the clock."""

    def __init__(self, link: MemoryLink, others: Others, clock: Clock, before_receiving: Callable[[], None] = lambda: None) -> None:
        self._link, self._others, self._clock = link, others, clock
        self.before_receiving = before_receiving
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
            self._clock.seconds += timeout_s or 0
        return found
