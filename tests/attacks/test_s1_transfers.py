"""S1, transfers: the network poisons chunks of a contribution. A good transfer is never evicted, at worst asked for again.

The broker takes small messages, so that every contribution comes in three chunks. The network has no key of anybody, but reads
every chunk before it arrives and puts its own before, between and after them. Controls take single rules of the assembly out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from hushfleet.codec import encode
from hushfleet.documents import Receipt, ReceiptStatus, sign_receipt
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.link import Delivery
from hushfleet.link.transfers import SLOTS_PER_SENDER, Assembly, Slot
from hushfleet.wire import Kind, Topic, build, encode_signed, parse
from hushfleet.wire.chunks import Chunk, open_frame
from tests.support.fleet import FLEET_NAME
from tests.support.fleet.attacked import AttackedFleet, attack_fleet, staged
from tests.support.fleet.network import OTHER, VICTIM, receipt_topic
from tests.support.refusals import refused

MAX_BYTES = 600
CHUNKS = 3
HELPERS = ("device-01", "device-02", "device-03")

Own = Callable[[Topic, Chunk], list[Delivery]]
"""What the network delivers in place of one chunk of the victim, in order."""


def _nothing_done(topic: Topic, chunk: Chunk) -> list[Delivery]:
    return [_delivery(topic, chunk)]


@dataclass
class Transfers:
    """A stage whose network handles the victim's chunks one by one, and what the orchestrator's assembly refused."""

    stage: AttackedFleet
    refusals: list[PeerError] = field(default_factory=list)
    own: Own = _nothing_done

    def __post_init__(self) -> None:
        self.stage.network = self._network
        self.stage.running.messenger._on_refused = self.refusals.append

    def _network(self, sender: str, delivery: Delivery) -> Delivery | None:
        topic = parse(delivery.topic)
        if sender != VICTIM or topic.kind is not Kind.CONTRIBUTION:
            return delivery
        for one in self.own(topic, open_frame(delivery.data, max_bytes=MAX_BYTES)):
            self.stage.running.orchestrator_link.offer(one)
        return None

    @property
    def accepted(self) -> set[str]:
        return set(self.stage.accepted)

    def judge(self) -> None:
        """Raise what the assembly refused first since it was last judged."""
        found = self.refusals[:]
        self.refusals.clear()
        if found:
            raise found[0]

    def ask_for_missing(self) -> list[tuple[int, int]]:
        """The orchestrator's signed word on everything that waits for chunks; the ranges that it asked the victim for."""
        waiting = [one for one in self.stage.running.messenger.incomplete() if one.topic.device == VICTIM]
        for one in waiting:
            key_id, number = self.stage.fleet.roster.key_id, one.topic.number or 0
            receipt = Receipt(FLEET_NAME, VICTIM, key_id, number, one.whole_hash, ReceiptStatus.HELD, one.missing, "")
            signed = sign_receipt(receipt, self.stage.fleet.parties.orchestrator.signing)
            self.stage.deliver(VICTIM, receipt_topic(number), encode_signed(signed))
        self.stage.pump(VICTIM)
        self.stage.running.orchestrator.pump()
        return [gap for one in waiting for gap in one.missing]

    def release(self) -> None:
        """The round ends with everybody's contribution in it, and with nothing else."""
        opened = self.stage.open_request(self.stage.fleet.request(self.stage.plan, self.stage.bodies()))
        assert self.accepted == {*HELPERS, VICTIM}
        assert np.array_equal(opened, self.stage.total(self.accepted))


@pytest.fixture
def transfers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Transfers]:
    with staged(attack_fleet(), tmp_path, monkeypatch, max_bytes=MAX_BYTES) as stage:
        yield Transfers(stage)


def _delivery(topic: Topic, chunk: Chunk) -> Delivery:
    return Delivery(build(topic), encode(chunk))


def poisoned_header(topic: Topic, chunk: Chunk, number: int) -> Delivery:
    """The same data in the same place of a whole that does not exist."""
    return _delivery(topic, msgspec.structs.replace(chunk, whole_hash=sha256(bytes([number]))))


def poisoned_data(topic: Topic, chunk: Chunk) -> Delivery:
    return _delivery(topic, msgspec.structs.replace(chunk, data=bytes(len(chunk.data))))


def poison_after_the_first(topic: Topic, chunk: Chunk) -> list[Delivery]:
    """As many wholes that do not exist as the network can open, once the victim has begun."""
    poison = [poisoned_header(topic, chunk, number) for number in range(2 * SLOTS_PER_SENDER)]
    return [_delivery(topic, chunk), *(poison if chunk.index == 0 else [])]


def poison_before_the_first(topic: Topic, chunk: Chunk) -> list[Delivery]:
    poison = [poisoned_header(topic, chunk, number) for number in range(SLOTS_PER_SENDER)]
    return [*(poison if chunk.index == 0 else []), _delivery(topic, chunk)]


class Once:
    """Handles the first pass of a chunk in one way and every later one honestly."""

    def __init__(self, index: int, own: Own) -> None:
        self._left = {index}
        self._own = own

    def __call__(self, topic: Topic, chunk: Chunk) -> list[Delivery]:
        if chunk.index in self._left:
            self._left.remove(chunk.index)
            return self._own(topic, chunk)
        return _nothing_done(topic, chunk)


def test_control_without_an_attack_a_contribution_in_chunks_is_counted(transfers: Transfers) -> None:
    transfers.stage.collect(*HELPERS, VICTIM)
    sent = [d for who, d in transfers.stage.tape if who == VICTIM and parse(d.topic).kind is Kind.CONTRIBUTION]
    assert len(sent) == CHUNKS
    assert transfers.refusals == []
    transfers.release()


def test_poisoned_headers_do_not_evict_what_has_begun(transfers: Transfers) -> None:
    transfers.own = poison_after_the_first
    transfers.stage.collect(*HELPERS, VICTIM)
    with refused(Refusal.TRANSFER_SLOTS, PeerError):
        transfers.judge()
    transfers.release()


def test_control_if_the_newest_slot_evicted_the_oldest_the_contribution_would_be_lost(
    transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Assembly._open

    def evict_and_open(assembly: Assembly, slot: Slot) -> None:
        of_sender = [other for other in assembly._held if other.sender == slot.sender]
        if len(of_sender) >= SLOTS_PER_SENDER:
            assembly.done(of_sender[0])
        honest(assembly, slot)

    monkeypatch.setattr(Assembly, "_open", evict_and_open)
    transfers.own = poison_after_the_first
    transfers.stage.collect(*HELPERS, VICTIM)
    assert VICTIM not in transfers.accepted
    assert transfers.refusals == []


def test_poisoned_headers_before_the_first_chunk_delay_it_until_they_are_forgotten(transfers: Transfers) -> None:
    """And they cost nobody else anything, nor can they make the device answer for them."""
    transfers.own = poison_before_the_first
    transfers.stage.collect(*HELPERS, VICTIM)
    with refused(Refusal.TRANSFER_SLOTS, PeerError):
        transfers.judge()
    assert transfers.accepted == set(HELPERS)
    sent = transfers.stage.waiting_for_receipt(VICTIM)
    transfers.ask_for_missing()
    with refused(Refusal.RECEIPT, PeerError):
        transfers.stage.judge(VICTIM)
    assert transfers.stage.waiting_for_receipt(VICTIM) == sent
    transfers.own = _nothing_done
    assert transfers.stage.running.messenger.forget_idle(-1) == SLOTS_PER_SENDER
    transfers.stage.running.agents[VICTIM].connect()
    transfers.stage.running.orchestrator.pump()
    transfers.release()


@pytest.mark.parametrize("index", range(CHUNKS))
def test_poisoned_data_spoil_the_whole_which_is_asked_for_again(transfers: Transfers, index: int) -> None:
    transfers.own = Once(index, lambda topic, chunk: [poisoned_data(topic, chunk), _delivery(topic, chunk)])
    transfers.stage.collect(*HELPERS, VICTIM)
    with refused(Refusal.TRANSFER_HASH, PeerError):
        transfers.judge()
    assert transfers.accepted == set(HELPERS)
    assert transfers.ask_for_missing() == [(0, index if index == CHUNKS - 1 else CHUNKS)]
    transfers.release()


def test_poisoned_data_after_the_true_ones_change_nothing(transfers: Transfers) -> None:
    transfers.own = lambda topic, chunk: [_delivery(topic, chunk), *([poisoned_data(topic, chunk)] if chunk.index < CHUNKS - 1 else [])]
    transfers.stage.collect(*HELPERS, VICTIM)
    assert transfers.refusals == []
    transfers.release()


def test_control_without_the_hash_the_spoiled_whole_passes_and_nobody_is_asked_again(
    transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seal still refuses it, but nothing is left that could ask the device."""
    monkeypatch.setattr(Assembly, "_checked", lambda _, __, data: data)
    transfers.own = Once(1, lambda topic, chunk: [poisoned_data(topic, chunk)])
    transfers.stage.collect(*HELPERS, VICTIM)
    with refused(Refusal.SEAL, PeerError):
        transfers.stage.judge("orchestrator")
    assert transfers.ask_for_missing() == []
    assert VICTIM not in transfers.accepted


@pytest.mark.parametrize("index", range(CHUNKS))
def test_a_chunk_that_was_kept_back_is_asked_for_alone(transfers: Transfers, index: int) -> None:
    transfers.own = Once(index, lambda _, __: [])
    transfers.stage.collect(*HELPERS, VICTIM)
    assert transfers.accepted == set(HELPERS)
    before = len(transfers.stage.tape)
    assert transfers.ask_for_missing() == [(index, index + 1)]
    again = [parse(d.topic).chunk for who, d in transfers.stage.tape[before:] if who == VICTIM]
    assert again == [index]
    transfers.release()


def test_chunks_under_each_others_numbers_are_refused_and_the_true_ones_count(transfers: Transfers) -> None:
    transfers.own = lambda topic, chunk: [
        _delivery(replace(topic, chunk=(chunk.index + 1) % CHUNKS), chunk),
        _delivery(topic, chunk),
    ]
    transfers.stage.collect(*HELPERS, VICTIM)
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        transfers.judge()
    transfers.release()


def test_another_devices_chunks_on_the_victims_topic_neither_mix_with_its_own_nor_count(transfers: Transfers) -> None:
    """They come between its own, chunk by chunk: a whole of its own, which the seal refuses."""
    transfers.stage.collect(*HELPERS, OTHER)
    stolen = [d for who, d in transfers.stage.tape if who == OTHER and parse(d.topic).kind is Kind.CONTRIBUTION]
    assert len(stolen) == CHUNKS
    transfers.own = lambda topic, chunk: [Delivery(build(topic), stolen[chunk.index].data), _delivery(topic, chunk)]
    transfers.stage.pump(VICTIM)
    transfers.stage.running.orchestrator.pump()
    with refused(Refusal.SEAL, PeerError):
        transfers.stage.judge("orchestrator")
    assert transfers.refusals == []
    assert transfers.accepted == {*HELPERS, OTHER, VICTIM}
