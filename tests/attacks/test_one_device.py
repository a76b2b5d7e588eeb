"""One device against the fleet: it cannot cry wolf, fill the broker, or silence the others. Each attack has its control.

It is enrolled, has a session of its own with the broker and publishes whatever the broker lets it.
"""

from collections.abc import Iterator

import pytest

from hushfleet.codec import encode
from hushfleet.documents import Header
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.link import Delivery, LinkError, MemoryLink
from hushfleet.link import allowance as allowance_module
from hushfleet.link import messenger as messenger_module
from hushfleet.link.allowance import Allowances
from hushfleet.rounds import device as device_module
from hushfleet.rounds.effects import Alert, Note
from hushfleet.wire import Evidence, Kind, Topic, build, encode_signed, parse
from hushfleet.wire.chunks import Chunk
from orchestrator import service as service_module
from tests.support.fleet import FLEET_NAME
from tests.support.fleet.attacked import AttackedFleet
from tests.support.refusals import refused

MEMBER, STRANGER, READER = "device-01", "device-07", "device-05"
READERS = ("orchestrator", READER, "device-02")
"""The orchestrator, a device, and a device that is a member."""


def evidence_of(sender: str, number: int = 1) -> Topic:
    return Topic(FLEET_NAME, Kind.EVIDENCE, device=sender, number=number)


def true_evidence(stage: AttackedFleet, number: int = 1) -> bytes:
    """What only an orchestrator that signed two roots can have made."""
    headers = [Header(FLEET_NAME, stage.fleet.roster.key_id, number, bytes(32), bytes([root] * 32), 4) for root in (0, 1)]
    return encode(Evidence(*map(stage.fleet.sign_header, headers)))


def show(stage: AttackedFleet, reader: str, sender: str, data: bytes) -> None:
    """`data` on the evidence topic of `sender`, for this reader, who handles it."""
    stage.deliver(reader, evidence_of(sender), data)
    if reader == "orchestrator":
        stage.running.orchestrator.pump()
    else:
        stage.pump(reader)


def alerts(stage: AttackedFleet, reader: str) -> list[str]:
    return [what.text for who, what in stage.running.log.entries if who == reader and isinstance(what, Alert)]


@pytest.mark.parametrize("reader", READERS)
def test_garbage_on_an_evidence_topic_alarms_nobody(stage: AttackedFleet, reader: str) -> None:
    for number in range(3):
        show(stage, reader, MEMBER, b"garbage %d" % number)
    assert not alerts(stage, reader)
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        stage.judge(reader)


@pytest.mark.parametrize("reader", READERS)
def test_evidence_from_whoever_is_no_member_alarms_nobody(stage: AttackedFleet, reader: str) -> None:
    """Even true evidence: a broker that keeps to its list never delivers it, and whoever gets it does not look at it."""
    show(stage, reader, STRANGER, true_evidence(stage))
    assert not alerts(stage, reader)
    with refused(Refusal.NOT_ENROLLED, PeerError):
        stage.judge(reader)
    show(stage, reader, MEMBER, true_evidence(stage))
    assert len(alerts(stage, reader)) == 1


def test_the_orchestrator_tells_its_owner_of_a_round_once(stage: AttackedFleet) -> None:
    for member in ("device-01", "device-02", "device-03"):
        show(stage, "orchestrator", member, true_evidence(stage))
    show(stage, "orchestrator", MEMBER, true_evidence(stage, 2))
    assert len(alerts(stage, "orchestrator")) == 2


def test_control_without_the_proof_any_bytes_alarm_everybody(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    def believe(*_: object) -> Header:
        return Header(FLEET_NAME, stage.fleet.roster.key_id, 1, bytes(32), sha256(b"any"), 4)

    for module in (service_module, device_module):
        monkeypatch.setattr(module, "verify_evidence", believe)
    for reader in READERS:
        show(stage, reader, STRANGER, b"garbage")
        assert len(alerts(stage, reader)) == 1


def left_behind(stage: AttackedFleet) -> list[str]:
    """The topics that the broker keeps something on and that keep nothing by the table, or that are not in it."""
    return [topic for topic in stage.running.broker._retained if "/device/" in topic and not topic.endswith("/status")]


def leave_behind(stage: AttackedFleet, name: str, *rest: str) -> None:
    """The device publishes on its own topics, to be kept for ever."""
    for part in rest:
        stage.running.links[name].publish(f"hushfleet/v1/{FLEET_NAME}/device/{name}/{part}", b"garbage", retain=True)


OWN_TOPICS = ("contribution/1/0", "contribution/999999/4095", "contribution/no/number", "contribution/99999999999999999999/0")
MEMBERS_TOPICS = ("evidence/1", "evidence/nothing", "partial/1/0", "complaint/1")


def test_what_is_left_behind_is_cleared_at_once_and_reaches_nobody_later(stage: AttackedFleet) -> None:
    leave_behind(stage, STRANGER, *OWN_TOPICS)
    leave_behind(stage, MEMBER, *OWN_TOPICS, *MEMBERS_TOPICS)
    assert len(left_behind(stage)) == 12
    stage.running.orchestrator.pump()
    assert left_behind(stage) == []
    stage.pump()
    stage.running.log.entries.clear()
    stage.running.agents[READER].connect()
    stage.pump(READER)
    assert stage.running.log.entries == []


def test_what_was_left_behind_while_the_orchestrator_was_away_is_cleared_when_it_comes(stage: AttackedFleet) -> None:
    stage.running.orchestrator_link.patterns.clear()
    leave_behind(stage, MEMBER, *(f"evidence/{number}" for number in range(150)))
    stage.running.orchestrator.pump()
    assert len(left_behind(stage)) == 150
    stage.running.orchestrator.connect()
    stage.running.orchestrator.pump()
    assert left_behind(stage) == []
    with refused(Refusal.RETAINED, PeerError):
        stage.judge("orchestrator")


def test_nobody_but_a_member_leaves_evidence_behind_and_nobody_else_clears(stage: AttackedFleet) -> None:
    for name, topic in ((STRANGER, "evidence/1"), (STRANGER, "partial/1/0")):
        with refused(Refusal.LINK_FORBIDDEN, LinkError):
            leave_behind(stage, name, topic)
    with refused(Refusal.LINK_FORBIDDEN, LinkError):
        stage.running.links[STRANGER].publish(build(evidence_of(MEMBER)), b"", retain=True)
    with refused(Refusal.LINK_FORBIDDEN, LinkError):
        stage.running.orchestrator_link.publish(build(evidence_of(MEMBER)), b"words of its own")


def test_a_revoked_device_leaves_nothing_behind(stage: AttackedFleet) -> None:
    status = f"hushfleet/v1/{FLEET_NAME}/device/{STRANGER}/status"
    stage.running.links[STRANGER].publish(status, b"for ever", retain=True)
    assert status in stage.running.broker._retained
    stage.running.orchestrator.take_roster(encode_signed(stage.fleet.without(STRANGER).roster.signed))
    assert status not in stage.running.broker._retained


def test_control_without_the_refusal_it_is_kept_and_read_at_every_connection(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messenger_module, "_kept_rightly", lambda delivery: parse(delivery.topic))
    leave_behind(stage, MEMBER, "evidence/1", "evidence/2")
    stage.running.orchestrator.pump()
    assert len(left_behind(stage)) == 2
    stage.pump(READER)
    stage.running.log.entries.clear()
    for _ in range(3):
        stage.running.agents[READER].connect()
        stage.pump(READER)
    assert len(stage.running.log.entries) == 6


QUEUE = 150
"""The messages that the broker queues for one reader; it drops further ones in silence, as Mosquitto does."""
LOOKED_AT = 32
"""The messages that the orchestrator looks at in a step."""
A_STEP = 60
"""The messages that the flood brings in a step."""


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that counts messages in a flood, a sixteenth of its size: a queue, an allowance without refill, a step."""
    offer = MemoryLink.offer

    def offer_while_there_is_room(link: MemoryLink, delivery: Delivery) -> None:
        if link._arrived.qsize() < QUEUE:
            offer(link, delivery)

    monkeypatch.setattr(MemoryLink, "offer", offer_while_there_is_room)
    monkeypatch.setattr(messenger_module, "MOST_AT_ONCE", LOOKED_AT)
    for name, value in (("LEAST_BURST_MESSAGES", 64), ("_USUAL_CHUNKS", 0), ("MESSAGES_PER_S", 0.0), ("FLOOD_MESSAGES", 16)):
        monkeypatch.setattr(allowance_module, name, value)


def small_chunks(start: int) -> Iterator[tuple[str, bytes]]:
    """The first chunks of wholes that never come."""
    for number in range(start, start + A_STEP):
        chunk = Chunk(number % 4096, 4096, 8192, sha256(b"%d" % (number // 4096)), b"xx")
        yield build(Topic(FLEET_NAME, Kind.CONTRIBUTION, device=STRANGER, number=1, chunk=chunk.index)), encode(chunk)


def steps_until_all_are_counted(stage: AttackedFleet, *, flood: bool, most: int = 40) -> int:
    """The steps of the orchestrator until all honest devices have their receipts; each sends again until then. The flood came first."""
    honest = [name for name in stage.names if name != STRANGER]
    for step in range(-15, most):
        for topic, data in small_chunks((step + 15) * A_STEP) if flood else ():
            stage.running.links[STRANGER].publish(topic, data)
        if step == 0:
            stage.running.orchestrator.start_round()
        for name in honest if step >= 0 else ():
            stage.running.agents[name].connect()
            stage.pump(name)
        stage.running.orchestrator.pump()
        if step > 0 and not any(stage.waiting_for_receipt(name) for name in honest):
            return step
    return most


def test_with_one_device_flooding_all_others_are_counted(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and its messages no longer reach the queue that it would fill; how fast, a real broker is measured for."""
    narrow(monkeypatch)
    assert steps_until_all_are_counted(stage, flood=True) < 40
    assert set(stage.accepted) == set(stage.names) - {STRANGER}
    assert stage.running.orchestrator._hearing.unheard == {STRANGER}
    told = [what.text for who, what in stage.running.log.entries if who == "orchestrator" and isinstance(what, Note)]
    assert [text for text in told if "floods" in text] == told[:1] != []
    assert set(stage.running.orchestrator.take_dropped()) == {STRANGER}
    assert stage.running.orchestrator.take_dropped() == {}


def test_after_a_while_whoever_flooded_is_heard_again(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch)
    steps_until_all_are_counted(stage, flood=True)
    monkeypatch.setattr(stage.running.orchestrator._hearing, "_now_s", lambda: float("inf"))
    monkeypatch.setattr(allowance_module, "MESSAGES_PER_S", 1e9)
    stage.running.orchestrator.pump()
    assert stage.running.orchestrator._hearing.unheard == frozenset()
    stage.pump(STRANGER)
    stage.running.orchestrator.pump()
    assert STRANGER in stage.accepted


def test_control_without_an_allowance_the_flood_takes_all_of_the_queue(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch)
    monkeypatch.setattr(Allowances, "take", lambda *_: True)
    assert steps_until_all_are_counted(stage, flood=True) == 40
    assert not stage.accepted


def test_control_without_a_flood_a_step_is_enough(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch)
    assert steps_until_all_are_counted(stage, flood=False) == 1


HOSTILE_TOPICS = ("device/pi-01", "device//contribution/1/0", "device/../status", "plan/1", "device/device-07/contribution/1", "x" * 60000)


@pytest.mark.parametrize("topic", HOSTILE_TOPICS, ids=lambda topic: topic[:30])
@pytest.mark.parametrize("reader", READERS)
def test_a_topic_outside_the_table_is_an_ordinary_outcome(stage: AttackedFleet, reader: str, topic: str) -> None:
    """Whatever a broker delivers: it is refused, acknowledged, and the next message comes."""
    link = stage._session(reader)
    monitored = f"hushfleet/v1/{FLEET_NAME}/{topic}"
    link._arrived.put(Delivery(monitored, b"data"))
    link._arrived.put(Delivery(monitored, b"", retained=True))
    link._arrived.put(Delivery(monitored, b"data", retained=True))
    show(stage, reader, MEMBER, true_evidence(stage))
    assert len(alerts(stage, reader)) == 1


@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.EVIDENCE, Kind.COMPLAINT])
def test_a_message_above_its_kinds_size_is_refused_unread(stage: AttackedFleet, kind: Kind) -> None:
    number = {} if kind is Kind.STATUS else {"number": 1}
    stage.deliver("orchestrator", Topic(FLEET_NAME, kind, device=MEMBER, **number), bytes(100_000))
    stage.running.orchestrator.pump()
    with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
        stage.judge("orchestrator")
