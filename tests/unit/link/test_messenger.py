"""Whole messages over a link whose messages are small, and when each part is acknowledged."""

import os
from dataclasses import dataclass, field, replace

import pytest

from hushfleet.codec import encode
from hushfleet.documents import Receipt, ReceiptStatus, sign_receipt
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.link import Delivery, LinkError, MemoryBroker, Messenger
from hushfleet.link import transfers as assembly_module
from hushfleet.link.link import DEFAULT_MAX_BYTES
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.device import Sent
from hushfleet.rounds.effects import Publish
from hushfleet.rounds.events import ReceiptArrived
from hushfleet.system.durable import write_unsynced
from hushfleet.wire import Kind, Topic, build, encode_signed, parse
from hushfleet.wire.chunks import MAX_CHUNKS, OVERHEAD_BYTES, Chunk, frames
from tests.support.fleet import FLEET_NAME, make_fleet, of, raise_refusal
from tests.support.refusals import refused

DATA = bytes(range(256)) * 4
DIGEST = sha256(DATA).hex()
MAX_BYTES = OVERHEAD_BYTES + 100
"""Eleven chunks of `DATA`."""
DEVICE = "device-05"
CONTRIBUTION = Topic(FLEET_NAME, Kind.CONTRIBUTION, device=DEVICE, number=1, chunk=0)
MODEL = Topic(FLEET_NAME, Kind.MODEL, digest=DIGEST, chunk=0)
PLAN = Topic(FLEET_NAME, Kind.PLAN)


@pytest.fixture(autouse=True)
def _without_syncing(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def broker():
    return MemoryBroker(FLEET_NAME, max_bytes=MAX_BYTES)


class Parties:
    def __init__(self, broker, folder) -> None:
        self.broker, self.folder, self.refusals = broker, folder, []
        self.orchestrator = self.messenger("orchestrator", orchestrator=True)
        self.device = self.messenger(DEVICE)

    def messenger(self, name, **role: bool):
        return Messenger(self.broker.connect(name, **role), self.folder / name, now_s=lambda: 0, on_refused=self.refusals.append)

    def refused(self):
        """Raise what was reported last."""
        raise self.refusals.pop()


@pytest.fixture
def parties(broker, tmp_path):
    return Parties(broker, tmp_path)


def received(messenger):
    """Everything whole that has arrived, acknowledged."""
    found = []
    while (arrived := messenger.receive()) is not None:
        messenger.acknowledge(arrived)
        found.append((arrived.topic, arrived.data))
    return found


class TestMemoryLimit:
    def test_the_limit_is_the_brokers(self, broker):
        assert broker.connect(DEVICE).max_bytes == MAX_BYTES
        assert MemoryBroker(FLEET_NAME).connect(DEVICE).max_bytes == DEFAULT_MAX_BYTES

    def test_what_is_above_it_is_refused(self, broker):
        link = broker.connect("orchestrator", orchestrator=True)
        link.publish(build(PLAN), bytes(MAX_BYTES))
        with refused(Refusal.MESSAGE_TOO_LARGE, LinkError):
            link.publish(build(PLAN), bytes(MAX_BYTES + 1))


class TestWholes:
    @pytest.mark.parametrize("size", [1, 99, 100, 101, 1024])
    def test_they_go_up_and_down(self, parties, size):
        data = DATA[:size]
        inbox = Topic(FLEET_NAME, Kind.INBOX, device=DEVICE, chunk=0)
        parties.orchestrator.subscribe(FLEET_NAME, Kind.CONTRIBUTION)
        parties.device.subscribe(FLEET_NAME, Kind.INBOX, device=DEVICE)
        parties.device.send(CONTRIBUTION, data)
        parties.orchestrator.send(inbox, data)
        assert received(parties.orchestrator) == [(CONTRIBUTION, data)]
        assert received(parties.device) == [(inbox, data)]

    def test_no_message_on_the_way_exceeds_the_limit(self, parties):
        sizes = []
        parties.broker.tap = lambda _, delivery: sizes.append(len(delivery.data)) or delivery
        parties.device.send(CONTRIBUTION, DATA)
        assert len(sizes) == 11
        assert max(sizes) <= MAX_BYTES

    def test_a_topic_without_chunks_holds_what_fits_one_message(self, parties):
        parties.device.subscribe(FLEET_NAME, Kind.PLAN)
        parties.orchestrator.send(PLAN, b"a plan")
        assert received(parties.device) == [(PLAN, b"a plan")]
        with refused(Refusal.MESSAGE_TOO_LARGE, LinkError):
            parties.orchestrator.send(PLAN, bytes(MAX_BYTES + 1))

    @pytest.mark.parametrize("limit", [OVERHEAD_BYTES, 10])
    def test_a_broker_with_too_small_a_limit_is_a_fault_of_the_link(self, tmp_path, limit):
        parties = Parties(MemoryBroker(FLEET_NAME, max_bytes=limit), tmp_path)
        with refused(Refusal.MESSAGE_TOO_LARGE, LinkError):
            parties.device.send(CONTRIBUTION, DATA)
        with refused(Refusal.MESSAGE_TOO_LARGE, LinkError):
            parties.orchestrator.send(MODEL, b"", clears_bytes=len(DATA))

    def test_what_needs_more_chunks_than_anybody_takes_is_a_fault_of_the_link(self, tmp_path):
        parties = Parties(MemoryBroker(FLEET_NAME, max_bytes=OVERHEAD_BYTES + 1), tmp_path)
        with refused(Refusal.MESSAGE_TOO_LARGE, LinkError):
            parties.device.send(CONTRIBUTION, bytes(MAX_CHUNKS + 1))
        assert parties.broker.bytes_published == {}

    def test_an_arrival_does_not_show_its_data(self, parties):
        parties.device.subscribe(FLEET_NAME, Kind.PLAN)
        parties.orchestrator.send(PLAN, b"visible words")
        assert "visible words" not in repr(parties.device.receive())


class TestRetained:
    def test_a_late_subscriber_gets_the_whole(self, parties):
        parties.orchestrator.send(MODEL, DATA)
        for _ in range(2):
            parties.device.subscribe(FLEET_NAME, Kind.MODEL, digest=DIGEST)
            assert received(parties.device) == [(MODEL, DATA)]
            parties.device.unsubscribe(FLEET_NAME, Kind.MODEL, digest=DIGEST)
        parties.orchestrator.send(MODEL, DATA)
        assert received(parties.device) == []

    def test_clearing_takes_every_chunk_and_is_heard_once(self, parties):
        parties.orchestrator.send(MODEL, DATA)
        parties.device.subscribe(FLEET_NAME, Kind.MODEL, digest=DIGEST)
        received(parties.device)
        parties.orchestrator.send(MODEL, b"", clears_bytes=len(DATA))
        assert parties.broker._retained == {}
        assert received(parties.device) == [(MODEL, b"")]
        late = parties.messenger("device-06")
        late.subscribe(FLEET_NAME, Kind.MODEL)
        assert received(late) == []

    def test_clearing_by_a_smaller_size_leaves_chunks_behind(self, parties):
        """So the size matters: control."""
        parties.orchestrator.send(MODEL, DATA)
        parties.orchestrator.send(MODEL, b"", clears_bytes=len(DATA) - 100)
        assert [parse(topic).chunk for topic in parties.broker._retained] == [10]

    def test_clearing_what_was_never_there_is_harmless(self, parties):
        parties.orchestrator.send(MODEL, b"")
        assert parties.broker._retained == {}

    def test_a_message_on_a_topic_without_chunks_is_cleared_too(self, parties):
        parties.device.subscribe(FLEET_NAME, Kind.PLAN)
        parties.orchestrator.send(PLAN, b"a plan")
        parties.orchestrator.send(PLAN, b"")
        assert received(parties.device) == [(PLAN, b"a plan"), (PLAN, b"")]


@dataclass
class RecordingLink:
    """What arrives is what the test put there; what is acknowledged is written down, with what was on disk at that moment."""

    folder: object
    max_bytes: int = MAX_BYTES
    arrivals: list = field(default_factory=list)
    acknowledged: list = field(default_factory=list)

    def put(self, data=DATA, topic=CONTRIBUTION, only=None):
        for index, frame in frames(data, MAX_BYTES):
            if only is None or index in only:
                self.arrivals.append(Delivery(build(replace(topic, chunk=index)), frame))

    def receive(self, timeout_s=0):
        del timeout_s
        return self.arrivals.pop(0) if self.arrivals else None

    def acknowledge(self, delivery):
        on_disk = {int(path.name) for path in self.folder.glob("*/*") if path.name.isdigit()}
        last = delivery.topic.split("/")[-1]
        self.acknowledged.append((int(last) if last.isdigit() else None, on_disk))

    def numbers(self):
        return [number for number, _ in self.acknowledged]


class TestAcknowledging:
    @pytest.fixture
    def link(self, tmp_path):
        return RecordingLink(tmp_path / "spool")

    @pytest.fixture
    def refusals(self):
        return []

    @pytest.fixture
    def messenger(self, link, tmp_path, refusals):
        return Messenger(link, tmp_path / "spool", on_refused=refusals.append)

    def test_a_chunk_once_it_is_on_disk_and_the_last_once_the_whole_is_safe(self, link, messenger):
        link.put()
        arrived = messenger.receive()
        assert arrived.data == DATA
        assert link.numbers() == list(range(10))
        assert all(number in on_disk for number, on_disk in link.acknowledged)
        messenger.acknowledge(arrived)
        assert link.numbers() == list(range(11))
        assert list(link.folder.iterdir()) == []

    def test_a_single_chunk_only_once_the_whole_is_safe(self, link, messenger):
        link.put(b"short")
        arrived = messenger.receive()
        assert link.numbers() == []
        messenger.acknowledge(arrived)
        assert link.numbers() == [0]

    def test_a_message_without_chunks_only_once_it_is_safe(self, link, messenger):
        link.arrivals.append(Delivery(build(PLAN), b"a plan"))
        arrived = messenger.receive()
        assert link.acknowledged == []
        messenger.acknowledge(arrived)
        assert link.numbers() == [None]

    def test_what_was_not_acknowledged_is_found_again_after_a_crash(self, link, messenger, tmp_path):
        link.put()
        messenger.receive()
        link.put(only=[10])  # the broker knows no better
        again = Messenger(link, tmp_path / "spool")
        arrived = again.receive()
        assert arrived.data == DATA
        again.acknowledge(arrived)
        assert link.numbers() == list(range(11))

    def test_a_chunk_that_the_disk_did_not_take_is_not_acknowledged(self, link, messenger, monkeypatch):
        link.put(only=[0, 1])
        assert messenger.receive() is None

        def write(*_: object, **__: object) -> None:
            raise OSError("the disk is full")

        monkeypatch.setattr(assembly_module, "write_unsynced", write)
        link.put(only=[2])
        with pytest.raises(OSError, match="disk is full"):
            messenger.receive()
        assert link.numbers() == [0, 1]
        monkeypatch.setattr(assembly_module, "write_unsynced", write_unsynced)
        link.put(only=range(2, 11))
        assert messenger.receive().data == DATA

    @pytest.mark.parametrize(
        ("delivery", "reason"),
        [
            (Delivery("hushfleet/v1/testers/nothing", b"x"), Refusal.MESSAGE_MALFORMED),
            (Delivery("hushfleet/v1/testers/device/../status", b"x"), Refusal.ID_MALFORMED),
            (Delivery(build(CONTRIBUTION), b"no frame"), Refusal.MESSAGE_MALFORMED),
            (Delivery(build(CONTRIBUTION), encode(Chunk(1, 2, 2, bytes(32), b"x"))), Refusal.MESSAGE_MALFORMED),
            (Delivery(build(CONTRIBUTION), encode(Chunk(0, 1, 1, bytes(32), b"x"))), Refusal.TRANSFER_HASH),
        ],
    )
    def test_what_can_never_be_good_is_reported_and_acknowledged_and_the_next_comes(self, link, messenger, refusals, delivery, reason):
        link.arrivals.append(delivery)
        link.put(b"good")
        assert messenger.receive().data == b"good"
        assert len(link.acknowledged) == 1
        with refused(reason, PeerError):
            raise refusals.pop()
        assert refusals == []

    def test_a_cleared_chunk_other_than_the_first_is_acknowledged_and_nobodys_business(self, link, messenger, refusals):
        link.arrivals += [Delivery(build(replace(MODEL, chunk=number)), b"", retained=False) for number in (1, 0, 2)]
        arrived = messenger.receive()
        assert (arrived.topic, arrived.data) == (MODEL, b"")
        assert link.numbers() == [1]
        messenger.acknowledge(arrived)
        assert messenger.receive() is None
        assert link.numbers() == [1, 0, 2]
        assert refusals == []

    def test_a_sender_without_a_slot_is_reported(self, link, messenger, refusals):
        for number in range(assembly_module.SLOTS_PER_SENDER + 1):
            link.put(DATA + bytes([number]), only=[0])
        assert messenger.receive() is None
        assert link.numbers() == [0] * (assembly_module.SLOTS_PER_SENDER + 1)
        with refused(Refusal.TRANSFER_SLOTS, PeerError):
            raise refusals.pop()

    def test_idle_transfers_are_given_up(self, link, tmp_path):
        clock = [0.0]
        messenger = Messenger(link, tmp_path / "spool", now_s=lambda: clock[0])
        link.put(only=[4])
        assert messenger.receive() is None
        clock[0] = 61
        assert [one.idle_s for one in messenger.incomplete()] == [61]
        assert messenger.forget_idle(60) == 1
        assert messenger.incomplete() == ()


class TestMissingRanges:
    """The orchestrator asks for what it misses; the device sends that and nothing else."""

    fleet = make_fleet()

    def lossy(self, parties, *lost: int) -> None:
        """The network loses these chunks, once each."""
        left = set(lost)

        def tap(_, delivery):
            topic = parse(delivery.topic)
            if topic.kind is Kind.CONTRIBUTION and topic.chunk in left:
                left.remove(topic.chunk)
                return None
            return delivery

        parties.broker.tap = tap

    def held(self, incomplete):
        topic = incomplete.topic
        key_id = self.fleet.roster.key_id
        receipt = Receipt(FLEET_NAME, topic.device, key_id, topic.number, incomplete.whole_hash, ReceiptStatus.HELD, incomplete.missing, "")
        return encode_signed(sign_receipt(receipt, self.fleet.parties.orchestrator.signing))

    def after(self, state, data):
        return self.fleet.device().step(state, ReceiptArrived(data), SeededRandomness(b"receipt"))

    def test_only_what_is_missing_is_sent_again(self, parties):
        parties.orchestrator.subscribe(FLEET_NAME, Kind.CONTRIBUTION)
        self.lossy(parties, 0, 4, 5, 10)
        parties.device.send(CONTRIBUTION, DATA)
        assert received(parties.orchestrator) == []
        (waiting,) = parties.orchestrator.incomplete()
        assert waiting.missing == ((0, 1), (4, 6), (10, 11))
        sent = Sent(self.fleet.roster.key_id, 1, DATA)
        state, effects = self.after(self.fleet.device_state(sent=sent), self.held(waiting))
        (publish,) = of(effects, Publish)
        assert state.memory.sent == sent
        before = parties.broker.bytes_published[DEVICE]
        parties.device.send(publish.topic, publish.data, ranges=publish.ranges)
        assert received(parties.orchestrator) == [(CONTRIBUTION, DATA)]
        assert parties.broker.bytes_published[DEVICE] - before < 4 * MAX_BYTES
        assert parties.orchestrator.incomplete() == ()

    def test_a_spoiled_whole_is_asked_for_whole(self, parties):
        """The network changes one byte of a chunk on its way."""
        parties.orchestrator.subscribe(FLEET_NAME, Kind.CONTRIBUTION)
        spoiled = []

        def tap(_, delivery):
            if parse(delivery.topic).chunk == 3 and not spoiled:
                spoiled.append(delivery)
                return replace(delivery, data=delivery.data[:-1] + bytes([delivery.data[-1] ^ 1]))
            return delivery

        parties.broker.tap = tap
        parties.device.send(CONTRIBUTION, DATA)
        assert received(parties.orchestrator) == []
        with refused(Refusal.TRANSFER_HASH, PeerError):
            parties.refused()
        (waiting,) = parties.orchestrator.incomplete()
        state = self.fleet.device_state(sent=Sent(self.fleet.roster.key_id, 1, DATA))
        _, effects = self.after(state, self.held(waiting))
        (publish,) = of(effects, Publish)
        assert publish.ranges == ((0, 11),)
        parties.device.send(publish.topic, publish.data, ranges=publish.ranges)
        assert received(parties.orchestrator) == [(CONTRIBUTION, DATA)]

    def test_a_device_does_not_answer_for_bytes_that_it_did_not_send(self, parties):
        """The network opened a transfer in its name: the orchestrator asks, and the device knows better."""
        parties.orchestrator.subscribe(FLEET_NAME, Kind.CONTRIBUTION)
        parties.device.send(CONTRIBUTION, DATA[::-1], ranges=((0, 1),))
        assert received(parties.orchestrator) == []
        (waiting,) = parties.orchestrator.incomplete()
        state = self.fleet.device_state(sent=Sent(self.fleet.roster.key_id, 1, DATA))
        after, effects = self.after(state, self.held(waiting))
        assert after == state
        with refused(Refusal.RECEIPT, PeerError):
            raise_refusal(effects)

    def test_a_receipt_holds_the_most_ranges_that_can_be_missing(self, parties):
        parties.orchestrator.subscribe(FLEET_NAME, Kind.CONTRIBUTION)
        missing = tuple((first, first + 1) for first in range(0, MAX_CHUNKS, 2))
        incomplete = replace(self.incomplete_of(parties), missing=missing)
        state = self.fleet.device_state(sent=Sent(self.fleet.roster.key_id, 1, DATA))
        _, effects = self.after(state, self.held(incomplete))
        (publish,) = of(effects, Publish)
        assert publish.ranges == missing

    def incomplete_of(self, parties):
        parties.device.send(CONTRIBUTION, DATA, ranges=((0, 1),))
        received(parties.orchestrator)
        return parties.orchestrator.incomplete()[0]
