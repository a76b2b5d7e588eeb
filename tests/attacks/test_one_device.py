"""One device against the fleet: it cannot cry wolf, fill the broker, or silence the others. Each attack has its control.

It is enrolled, has a session of its own with the broker and publishes whatever the broker lets it.
"""

import pytest

from hushfleet.codec import encode
from hushfleet.documents import Header
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.rounds import device as device_module
from hushfleet.rounds.effects import Alert
from hushfleet.wire import Evidence, Kind, Topic
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
