"""The orchestrator at work: messenger and store around the coordinator machine."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from hushfleet.documents import Plan, Receipt, ReceiptStatus, sign_receipt
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.link import Arrived, LinkError, Messenger
from hushfleet.link.hearing import UNHEARD_S, Hearing
from hushfleet.link.transfers import Incomplete
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.coordinator import Collecting, Coordinator, CoordinatorState, Decrypting, NoRound, publications
from hushfleet.rounds.effects import Alert, Change, Effect, KeepFloor, Note, Publish, Refused, require_accepted
from hushfleet.rounds.events import (
    AbortWanted,
    AnswerArrived,
    Connected,
    ContributionsArrived,
    DeadlinePassed,
    ReadBack,
    RosterArrived,
    RoundWanted,
)
from hushfleet.rounds.evidence import verify_evidence
from hushfleet.rounds.machine import Running
from hushfleet.signing import VerifyKey
from hushfleet.typed import typed
from hushfleet.wire import DeviceStatus, Kind, Role, Topic, encode_signed, open_status
from orchestrator.absence import Absence, absence
from orchestrator.attendance import Attendance, attendance
from orchestrator.echo import forgotten, held_outside

Report = Callable[[Note | Alert | Refused], None]

HEARD = tuple(kind for kind in Kind if kind.publisher is not Role.ORCHESTRATOR)
"""Everything that devices publish: what is left behind on any of these topics is cleared."""
_READ_BACK = (Kind.PLAN, Kind.RECORD, Kind.ROSTER)
"""The topics on which others hold the word of this orchestrator, in this order; the roster comes last."""
_MOST_SEEN = 1 << 48  # a device that lies moves the first number of a new orchestrator, and never to its end
_MOST_AT_ONCE = 64
_MOST_RANGES = 256
_LEAST_EXPIRY_S = 600


def expiry_s(plan: Plan) -> int:
    """The seconds after which the broker forgets what belongs to a round, unless it is sent again."""
    return max(_LEAST_EXPIRY_S, 2 * plan.deadline_s)


class ChangeStore(Protocol):
    """The place where changes become durable: the store, or an archive alone."""

    def persist(self, changes: tuple[Change, ...]) -> None:
        """Store all of `changes` in one transaction, or none and raise."""


class Orchestrator:
    """The coordinator machine at work: it is fed what is delivered, and its effects are carried out. One thread. `now_ms`: monotonic."""

    def __init__(
        self,
        coordinator: Coordinator,
        state: CoordinatorState,
        messenger: Messenger,
        changes: ChangeStore,
        *,
        now_ms: Callable[[], int],
        report: Report = lambda _: None,
        rho_nano: int = 0,
    ) -> None:
        """`rho_nano`: the cost of one round of the job to a device, in 10^-9 rho."""
        self._coordinator, self._messenger, self._now_ms, self._report = coordinator, messenger, now_ms, report
        self._changes = changes
        self._running = Running(coordinator, state, changes.persist, SystemRandomness())
        self._statuses: dict[str, bytes] = {}
        self._alerted: set[tuple[bytes, int]] = set()
        self._said: dict[str, DeviceStatus] = {}
        self._seen: dict[str, int] = {}
        self._told_dropped: dict[str, int] = {}
        self._hearing = Hearing(messenger, state.memory.roster.roster.fleet, HEARD, self._senders, lambda: now_ms() / 1000)
        self._rho_nano = rho_nano

    @property
    def state(self) -> CoordinatorState:
        """The coordinator's state: all that is known of the job."""
        return self._running.state

    @property
    def open_plan(self) -> Plan | None:
        """The plan of the round under way, or None."""
        return None if isinstance(self.state, NoRound) else self.state.terms.plan

    @property
    def arrived(self) -> tuple[int, int]:
        """The number of accepted contributions and of answers in the round under way, or in the latest one; zeros before the first."""
        state = self.state
        if isinstance(state, NoRound):
            return (len(state.closed.accepted), state.closed.answers) if state.closed is not None else (0, 0)
        return len(state.accepted), len(state.answers) if isinstance(state, Decrypting) else 0

    @property
    def attendance(self) -> Attendance:
        """The devices and members that say that they are present."""
        least = self._coordinator.job.min_devices
        return attendance(self.state.memory.roster, self._said, least, rho_nano=self._rho_nano)

    @property
    def absence(self) -> Absence:
        """The reasons why devices have not contributed to the round under way, or why the next one does not begin."""
        state, least = self.state, self._coordinator.job.min_devices
        roster, said, rho = state.memory.roster, self._said, self._rho_nano
        if isinstance(state, NoRound):
            return absence(roster, said, least=least, rho_nano=rho)
        return absence(roster, said, least=least, rho_nano=rho, plan=state.terms.verified_plan, accepted=frozenset(state.accepted))

    def connect(self) -> None:
        """Subscribe, and publish everything that the broker should retain.

        After a start what the broker holds of this orchestrator is read back first: it comes before the roster, published now, comes.
        """
        self._hearing.open()
        if self.state.memory.read_back:
            self._carry_out(self._running.offer(Connected()))
            return
        for kind in _READ_BACK:
            self._messenger.subscribe(self.state.memory.roster.roster.fleet, kind)
        self._carry_out((publications.roster_publication(self.state.memory.roster),))

    def start_round(self) -> None:
        """Publish the next plan. Raises `PhaseError` while a round is under way, `LocalError` if no plan can hold the job."""
        self._carry_out(require_accepted(self._running.step(RoundWanted(self._now_ms(), max(self._seen.values(), default=0)))))

    def end_collection(self) -> None:
        """Tell the coordinator that the deadline has passed: the round closes if it has enough contributions."""
        self._carry_out(self._running.offer(DeadlinePassed()))

    def abort(self, reason: str) -> None:
        """Give the round up."""
        self._carry_out(self._running.offer(AbortWanted(reason, self._now_ms())))

    def take_roster(self, data: bytes) -> None:
        """Take a signed roster from the owner. It ends the round that is under way."""
        self._carry_out(self._running.offer(RosterArrived(data)))
        self._seen.clear()  # what was seen under another key says nothing
        self._hearing.roster_changed()

    def publish_plan_again(self) -> None:
        """Publish the plan of a round that still collects: the broker would forget it."""
        if isinstance(self.state, Collecting):
            self._carry_out((publications.plan_publication(self.state.terms.verified_plan),))

    def ask_again(self) -> None:
        """Send the stored decryption request once more, if there is one: members that have answered send the same answer."""
        if isinstance(self.state, Decrypting):
            self._carry_out(publications.committee_publications(self.state))

    def report_missing(self, transfer: Incomplete) -> bool:
        """Send a receipt that names the missing chunks of a contribution to the open round. False for any other transfer."""
        plan, topic = self.open_plan, transfer.topic
        if plan is None or topic.kind is not Kind.CONTRIBUTION or topic.number != plan.round or topic.device is None:
            return False
        self._receipt(plan, topic, transfer.whole_hash, ReceiptStatus.HELD, missing=transfer.missing[:_MOST_RANGES])
        return True

    def send(self, publications_: tuple[Publish, ...]) -> None:
        """Publish what the program adds, such as the removal of topics that an earlier run left behind."""
        self._carry_out(publications_)

    def take_statuses(self) -> Mapping[str, bytes]:
        """The statuses that devices published since the last call, by device."""
        taken, self._statuses = self._statuses, {}
        return taken

    def take_dropped(self) -> Mapping[str, int]:
        """The messages dropped since the last call because their devices sent more than their allowance, by device."""
        dropped = dict(self._messenger.dropped)
        more = {name: count - self._told_dropped.get(name, 0) for name, count in dropped.items()}
        self._told_dropped = dropped
        return {name: count for name, count in more.items() if count}

    def pump(self, timeout_s: float = 0, *, next_message_s: float = 0) -> int:
        """Handle what has arrived, contributions in one batch, and return the number of messages.

        Waits up to `timeout_s` for the first one, and `next_message_s` for each further one, so that proofs are verified together.
        A delivery is acknowledged once what it held is durable.
        """
        batch: list[Arrived] = []
        arrived = self._messenger.receive(timeout_s)
        while arrived is not None:
            batch.append(arrived)
            arrived = self._messenger.receive(next_message_s) if len(batch) < _MOST_AT_ONCE else None
        self._take_contributions([one for one in batch if one.topic.kind is Kind.CONTRIBUTION and one.topic.device and one.data])
        for one in batch:
            self._take_single(one)
            self._messenger.acknowledge(one)
        for device_id in self._hearing.follow():
            text = f"{device_id} floods: what exceeds its allowance is dropped, and it is not heard for {UNHEARD_S:.0f} s"
            self._report(Note(f"{text}. What was dropped is counted by: {typed('orchestrator', 'devices')}"))
        return len(batch)

    def _senders(self) -> Iterator[tuple[Kind, str]]:
        """The kinds of message that each device of the roster in force may send."""
        roster = self.state.memory.roster.roster
        for entry in roster.devices:
            for kind in HEARD:
                if kind.publisher is Role.DEVICE or entry.device_id in roster.committee:
                    yield kind, entry.device_id

    def _take_contributions(self, arrived: list[Arrived]) -> None:
        """Give those of the latest round to the machine together. Late ones get a refusing receipt: their devices stop sending."""
        latest = self.open_plan or (self.state.closed.plan.plan if isinstance(self.state, NoRound) and self.state.closed else None)
        in_time = [one for one in arrived if latest is None or one.topic.number == latest.round]
        if in_time:
            event = ContributionsArrived(tuple((one.topic.device or "", one.data) for one in in_time))
            self._carry_out(self._running.offer(event))
        for one in arrived:
            if latest is not None and 0 < (one.topic.number or 0) < latest.round:
                self._receipt(latest, one.topic, sha256(one.data), ReceiptStatus.REFUSED, reason=Refusal.CONTRIBUTION_LATE.value)

    def _take_single(self, one: Arrived) -> None:
        if one.topic.kind in _READ_BACK and not self.state.memory.read_back:
            self._read_back(one)
        if not one.topic.device or not one.data:
            return
        # Members answer side by side, and again at every connection: what comes after enough of them did is no news.
        if one.topic.kind is Kind.PARTIAL and isinstance(self.state, Decrypting) and one.topic.number == self.state.terms.plan.round:
            self._carry_out(self._running.offer(AnswerArrived(one.topic.device, one.data, self._now_ms())))
        elif one.topic.kind is Kind.STATUS:
            self._take_status(one.topic.device, one.data)
        elif one.topic.kind is Kind.EVIDENCE:
            self._take_evidence(one.topic.device, one.data)

    def _read_back(self, one: Arrived) -> None:
        """Compare what others hold with the store. Raises `LocalError(STORE_ROLLED_BACK)` if they hold more."""
        memory = self.state.memory
        if one.topic.kind is Kind.ROSTER:
            for kind in _READ_BACK:
                self._messenger.unsubscribe(memory.roster.roster.fleet, kind)
            self._carry_out(self._running.offer(ReadBack()))
            self._carry_out(self._running.offer(Connected()))
            return
        held = held_outside(one.topic.kind, one.data, self._coordinator.signing_key.verify_key)
        if held is not None and held.ahead_of(self.state):
            self._changes.persist((KeepFloor(held.key_id, held.round),))
            raise forgotten(held.round)

    def _take_evidence(self, device_id: str, data: bytes) -> None:
        """Alert the owner, once a round, to evidence that holds; what does not is dropped, and told."""
        try:
            header = verify_evidence(self._running.state.memory.roster, device_id, data)
        except PeerError as error:
            self._report(Refused(error))
            return
        if (header.key_id, header.round) not in self._alerted:
            self._alerted.add((header.key_id, header.round))
            self._report(Alert(f"{device_id} proves that two roots were signed for round {header.round}: devices stop under this key"))

    def _take_status(self, device_id: str, data: bytes) -> None:
        """Keep a status that its device signed; anything else is dropped, and told."""
        roster = self._running.state.memory.roster
        try:
            key = VerifyKey(roster.device(device_id).verify_key)
            status = open_status(data, key, fleet=roster.roster.fleet, device_id=device_id)
        except PeerError as error:
            self._report(Refused(error))
            return
        self._statuses[device_id], self._said[device_id] = data, status
        if status.round <= _MOST_SEEN:
            self._seen[device_id] = status.round

    def _receipt(
        self,
        plan: Plan,
        topic: Topic,
        whole_hash: bytes,
        status: ReceiptStatus,
        *,
        missing: tuple[tuple[int, int], ...] = (),
        reason: str = "",
    ) -> None:
        """Send a receipt for what came on `topic`, under the key of `plan`."""
        device_id, number = topic.device or "", topic.number or 0
        receipt = Receipt(plan.fleet, device_id, plan.key_id, number, whole_hash, status, missing, reason)
        signed = sign_receipt(receipt, self._coordinator.signing_key)
        self._carry_out((Publish(Topic(plan.fleet, Kind.RECEIPT, device=device_id, number=number), encode_signed(signed)),))

    def _carry_out(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Publish(topic, data, ranges, clears_bytes):
                    self._send(topic, data, ranges, clears_bytes)
                case Note() | Alert() | Refused():
                    self._report(effect)

    def _send(self, topic: Topic, data: bytes, ranges: tuple[tuple[int, int], ...], clears_bytes: int) -> None:
        try:
            self._messenger.send(topic, data, ranges=ranges, clears_bytes=clears_bytes, expiry_s=self._expiry_s(topic.kind))
        except LinkError as error:
            # Nothing is lost: a new connection publishes everything again, and whoever has no receipt sends again.
            self._report(Note(f"{topic.kind.name.lower()} was not sent: {error}"))

    def _expiry_s(self, kind: Kind) -> int | None:
        """The expiry of a message that belongs to a round and means nothing after it; None for others."""
        plan = self.open_plan
        if kind not in (Kind.PLAN, Kind.REQUEST, Kind.RECEIPT) or plan is None:
            return None
        return expiry_s(plan)
