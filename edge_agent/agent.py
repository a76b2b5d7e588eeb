"""One device at work: link and store around the device machine and, on a committee member, the member machine."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edge_agent.keys import DeviceKeys
from edge_agent.store import Store
from hushfleet.link import Arrived, Messenger
from hushfleet.randomness import Randomness, SystemRandomness
from hushfleet.rounds.device import Device, Phase
from hushfleet.rounds.effects import Alert, Effect, Fetch, Note, Publish, Refused, Train
from hushfleet.rounds.events import (
    Connected,
    EvidenceArrived,
    GrantArrived,
    ModelArrived,
    PlanArrived,
    ReceiptArrived,
    RequestArrived,
    RosterArrived,
    Trained,
)
from hushfleet.rounds.member import Member, MemberState
from hushfleet.rounds.running import Running
from hushfleet.signing import VerifyKey
from hushfleet.training import Data, Trainer, train
from hushfleet.wire import Kind

Report = Callable[[str, Note | Alert | Refused], None]
"""Told of every note, alert and refusal, with the device id. For the local log: nothing of it leaves the machine."""

_EVENTS: Mapping[Kind, Callable[[bytes], object]] = {
    Kind.ROSTER: RosterArrived,
    Kind.PLAN: PlanArrived,
    Kind.MODEL: ModelArrived,
    Kind.RECEIPT: ReceiptArrived,
    Kind.EVIDENCE: EvidenceArrived,
}
_MEMBER_EVENTS: Mapping[Kind, Callable[[bytes], object]] = {
    Kind.ROSTER: RosterArrived,
    Kind.REQUEST: RequestArrived,
    Kind.INBOX: GrantArrived,
}


@dataclass(frozen=True)
class Work:
    """What a device can train, and on what. Whatever `read_data` raises, the device contributes zero plus noise."""

    trainers: Mapping[bytes, Trainer]
    read_data: Callable[[], Data]
    randomness: Randomness = field(default_factory=SystemRandomness)
    """Picks batches; may be seeded. Keys, noise and masks never come from here."""


class Agent:
    """Feeds deliveries to the machines and carries out their effects. Not for two threads at once; it locks itself."""

    def __init__(
        self,
        keys: DeviceKeys,
        root: VerifyKey,
        store: Store,
        messenger: Messenger,
        work: Work,
        *,
        fleet: str,
        member: bool = False,
        report: Report = lambda _, __: None,
        insecure_keys: bool = False,
    ) -> None:
        architectures = {digest: trainer.architecture.dimension for digest, trainer in work.trainers.items()}
        self._keys, self._messenger, self._work, self._report = keys, messenger, work, report
        self._fleet = fleet
        self._lock = threading.Lock()
        randomness = SystemRandomness()
        device = Device(keys.device_id, keys.signing, root, architectures, insecure_keys)
        self._device = Running(device, store.device_state(root), store.persist, randomness)
        self._member: Running[MemberState] | None = None
        if member:
            machine = Member(keys.device_id, keys.signing, keys.sealing, root, insecure_keys)
            self._member = Running(machine, store.member_state(root, insecure_keys=insecure_keys), store.persist, randomness)

    @property
    def device_id(self) -> str:
        """This device's id."""
        return self._keys.device_id

    def connect(self) -> None:
        """Subscribe, and send again what may have been lost."""
        kinds = [Kind.ROSTER, Kind.PLAN, Kind.RECEIPT, Kind.EVIDENCE]
        kinds += [Kind.INBOX, Kind.REQUEST] if self._member else []
        for kind in kinds:
            own = self.device_id if kind in (Kind.RECEIPT, Kind.INBOX) else None
            self._messenger.subscribe(self._fleet, kind, device=own)
        with self._lock:
            self._carry_out(self._device.offer(Connected()))
            if self._member:
                self._carry_out(self._member.offer(Connected()))

    def pump(self) -> int:
        """Handle what has arrived; how many messages that was."""
        handled = 0
        with self._lock:
            while (arrived := self._messenger.receive(0)) is not None:
                self._handle(arrived)
                self._messenger.acknowledge(arrived)
                handled += 1
        return handled

    def _handle(self, arrived: Arrived) -> None:
        topic = arrived.topic
        if arrived.data:  # else a retained topic was cleared
            self._dispatch(topic.kind, arrived.data)
        # Other bytes than the plan names may come first: the device listens on until it has its model.
        if topic.kind is Kind.MODEL and topic.digest != self._fetching():
            self._messenger.unsubscribe(self._fleet, Kind.MODEL, digest=topic.digest)

    def _dispatch(self, kind: Kind, data: bytes) -> None:
        if kind in _EVENTS:
            self._carry_out(self._device.offer(_EVENTS[kind](data)))
        if self._member and kind in _MEMBER_EVENTS:
            self._carry_out(self._member.offer(_MEMBER_EVENTS[kind](data)))

    def _fetching(self) -> str | None:
        state = self._device.state
        return state.setting.plan.parameter_hash.hex() if state.setting is not None and state.phase is Phase.FETCHING else None

    def _carry_out(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Publish(topic, data, ranges):
                    self._messenger.send(topic, data, ranges=ranges)
                case Fetch(digest):
                    self._messenger.subscribe(self._fleet, Kind.MODEL, digest=digest.hex())
                case Train():
                    self._carry_out(self._device.offer(self._train(effect)))
                case Note() | Alert() | Refused():
                    self._report(self.device_id, effect)

    def _train(self, wanted: Train) -> Trained:
        try:
            trainer = self._work.trainers[wanted.architecture_hash]
            data = self._work.read_data()
            update = train(trainer, wanted.model, wanted.settings, data, self._work.randomness)
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with its data, this device contributes (PROTOCOL 5.2)
            return Trained(wanted.plan_hash, None, f"{type(error).__name__}: {error}")
        return Trained(wanted.plan_hash, update)
