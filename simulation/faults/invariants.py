"""Everything that must hold after every event, judged by a witness who sees what leaves and what is stored."""

from dataclasses import dataclass, field

from edge_agent.store import Store
from hushfleet.documents import Outcome, open_record
from hushfleet.link.link import Delivery
from hushfleet.rounds.effects import Change, KeepAnswer, KeepContribution, KeepOutcome, KeepRound
from hushfleet.signing import VerifyKey
from hushfleet.wire.topics import Kind, parse


class Broken(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


@dataclass
class Witness:
    """The one who remembers everything. `excused` names the devices whose stores forget at the moment, and do not know it yet."""

    orchestrator: VerifyKey
    excused: set[str] = field(default_factory=set)
    broken: list[Broken] = field(default_factory=list)
    sent: dict[tuple[str, int, int], bytes] = field(default_factory=dict)
    answers: dict[tuple[str, int], bytes] = field(default_factory=dict)
    roots: dict[tuple[str, int], bytes] = field(default_factory=dict)
    paid: dict[str, set[int]] = field(default_factory=dict)
    counted: dict[str, set[int]] = field(default_factory=dict)
    plans: dict[int, bytes] = field(default_factory=dict)
    records: dict[int, bytes] = field(default_factory=dict)
    rho: dict[int, int] = field(default_factory=dict)
    cohorts: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def left(self, party: str, delivery: Delivery) -> None:
        """A message left a party."""
        topic = parse(delivery.topic)
        if not delivery.data or topic.number is None:
            return
        if topic.kind is Kind.CONTRIBUTION:
            before = self.sent.setdefault((party, topic.number, topic.chunk or 0), delivery.data)
            self._require(before == delivery.data, "one-contribution", f"{party} sent other bytes in round {topic.number}")
            self._require(topic.number in self.paid.get(party, ()), "paid-before-sent", f"{party} sent round {topic.number} unpaid")
        if topic.kind is Kind.PARTIAL:
            before = self.answers.setdefault((party, topic.number), delivery.data)
            self._require(before == delivery.data, "one-answer", f"{party} answered round {topic.number} with other bytes")
            self._require((party, topic.number) in self.roots, "stored-before-answered", f"{party} answered round {topic.number} unstored")

    def kept(self, party: str, change: Change) -> None:
        """A change of a party became durable."""
        match change:
            case KeepContribution(entry=entry):
                self.paid.setdefault(party, set()).add(entry.round_number)
            case KeepAnswer(round=number, root=root):
                before = self.roots.setdefault((party, number), root)
                self._require(before == root, "one-root", f"{party} answered two roots of round {number}")
            case KeepRound(round=number, plan=plan):
                before = self.plans.setdefault(number, plan.content)
                self._require(before == plan.content, "one-plan", f"two plans of round {number} were signed")
            case KeepOutcome():
                self._count(change)

    def _count(self, change: KeepOutcome) -> None:
        record = open_record(change.archive.record, self.orchestrator)
        before = self.records.setdefault(record.round, change.archive.record.content)
        self._require(before == change.archive.record.content, "one-record", f"two records of round {record.round}")
        if record.outcome is Outcome.RELEASED:
            self.rho[record.round], self.cohorts[record.round] = record.rho_nano, record.device_ids
            for name in record.device_ids:
                self.counted.setdefault(name, set()).add(record.round)

    def look(self, name: str, store: Store) -> None:
        """Compare a device's ledger with what left it and with what is reported of it."""
        if name not in self.excused:
            self._look(name, store)
            self._compare(name, store)

    def _look(self, name: str, store: Store) -> None:
        ledger = store.ledger()
        charged = [event.round_number for event in ledger.events if hasattr(event, "round_number")]
        self._require(len(charged) == len(set(charged)), "one-charge", f"{name} was charged twice for one round: {charged}")
        gone = {number for party, number, _ in self.sent if party == name} - set(charged)
        self._require(not gone, "sent-is-charged", f"{name} sent rounds {sorted(gone)} that its ledger does not know")

    def _compare(self, name: str, store: Store) -> None:
        """A device's own account covers what the orchestrator says of it."""
        ledger, reported = store.ledger(), sum(self.rho[number] for number in self.counted.get(name, ()))
        self._require(ledger.spent_nano >= reported, "epsilon", f"{name} says {ledger.spent_nano}, the orchestrator {reported}")

    def settled(self, name: str, store: Store, *, whole: bool) -> None:
        """Once the faults are over: what a device paid for was counted. `whole` False: a store was put back in this run."""
        self.look(name, store)
        paid, counted = self.paid.get(name, set()), self.counted.get(name, set())
        self._require(not whole or paid == counted, "paid-is-counted", f"{name} paid {sorted(paid)}, counted {sorted(counted)}")

    def note(self, invariant: str, what: str) -> None:
        """Note that an invariant does not hold."""
        self.broken.append(Broken(invariant, what))

    def _require(self, holds: bool, invariant: str, what: str) -> None:
        if not holds:
            self.broken.append(Broken(invariant, what))
