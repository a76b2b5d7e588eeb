"""What a network does between the parties of a `AttackedFleet`: it withholds messages, and hands altered ones to their readers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hushfleet.codec import encode
from hushfleet.documents import Header
from hushfleet.errors import HushfleetError, PeerError, Refusal
from hushfleet.link import Delivery
from hushfleet.rounds.device import Fetching, Idle
from hushfleet.wire import Evidence, Inbox, KeyShareDelivery, Kind, Topic, encode_signed, parse
from tests.support.fleet import FLEET_NAME
from tests.support.fleet.attacked import AttackedFleet
from tests.support.refusals import refused

VICTIM, OTHER = "device-05", "device-06"
PLAN = Topic(FLEET_NAME, Kind.PLAN)
MALFORMED = frozenset({Refusal.MESSAGE_MALFORMED, Refusal.MESSAGE_VERSION, Refusal.SIGNATURE})
_COUNTED = ("device-01", "device-02", "device-03", VICTIM)


def roster_topic(serial: int) -> Topic:
    return Topic(FLEET_NAME, Kind.ROSTER, number=serial, chunk=0)


def receipt_topic(number: int = 1) -> Topic:
    return Topic(FLEET_NAME, Kind.RECEIPT, device=VICTIM, number=number)


def evidence_topic() -> Topic:
    return Topic(FLEET_NAME, Kind.EVIDENCE, device="device-02", number=1)


def withhold(stage: AttackedFleet, *kinds: Kind) -> None:
    """The network delivers these kinds of message to nobody from now on."""

    def network(_: str, delivery: Delivery) -> Delivery | None:
        return None if parse(delivery.topic).kind in kinds else delivery

    stage.network = network


def fetching(stage: AttackedFleet) -> Topic:
    """The victim has accepted the plan and waits for the model, which the network keeps from it."""
    stage.running.broker._retained.clear()
    stage.running.orchestrator.start_round()
    stage.pump(VICTIM)
    assert isinstance(stage.device(VICTIM), Fetching)
    return Topic(FLEET_NAME, Kind.MODEL, digest=stage.fleet.model.digest.hex(), chunk=0)


def unanswered(stage: AttackedFleet) -> bytes:
    """The victim's contribution never arrives: the network has it. Its sealed bytes."""
    withhold(stage, Kind.CONTRIBUTION)
    stage.running.orchestrator.start_round()
    stage.pump(VICTIM)
    assert isinstance(stage.device(VICTIM), Idle)
    assert stage.waiting_for_receipt(VICTIM) is not None
    return stage.sent(Kind.CONTRIBUTION, by=VICTIM)[0]


@dataclass(frozen=True)
class Handed:
    """A true message in the network's hands: who reads it, how it gets there, and the reasons an altered one may be refused for."""

    reader: str
    data: bytes
    send: Callable[[bytes], None]
    reasons: frozenset[Refusal]


def handed_over(stage: AttackedFleet, kind: Kind) -> Handed:
    """A message of this kind that its reader would accept next."""
    return MESSAGES[kind](stage)


def each_byte_altered(data: bytes) -> Iterator[bytes]:
    """As many copies as there are bytes, one bit of one byte flipped in each."""
    for position in range(len(data)):
        altered = bytearray(data)
        altered[position] ^= 1 << (position % 8)
        yield bytes(altered)


def refused_somehow(judge: Callable[[], object], reasons: frozenset[Refusal]) -> None:
    """`judge` raises a peer's fault for one of `reasons`."""
    try:
        judge()
    except HushfleetError as error:
        assert error.reason in reasons, error  # noqa: PT017 -- `refused` takes one reason; which of several it is shows here
        with refused(error.reason, PeerError):
            raise
    else:
        raise AssertionError("nothing was refused")


def state_of(stage: AttackedFleet, party: str) -> Any:  # noqa: ANN401 -- to be compared with itself only
    """Whatever a party would do differently if it had taken a message in."""
    if party == "orchestrator":
        return stage.running.orchestrator.state
    return stage.device(party), stage.member(party) if party in stage.committee else None


def _to(stage: AttackedFleet, name: str, topic: Topic) -> Callable[[bytes], None]:
    def send(data: bytes) -> None:
        stage.deliver(name, topic, data)
        if name == "orchestrator":
            stage.running.orchestrator.pump()
        else:
            stage.pump(name)

    return send


def _roster(stage: AttackedFleet) -> Handed:
    return Handed(VICTIM, encode_signed(stage.fleet.newer().roster.signed), _to(stage, VICTIM, roster_topic(2)), MALFORMED)


def a_plan(stage: AttackedFleet) -> Handed:
    return Handed(VICTIM, encode_signed(stage.fleet.plan().signed), _to(stage, VICTIM, PLAN), MALFORMED)


def _model(stage: AttackedFleet) -> Handed:
    topic = fetching(stage)
    send = _to(stage, VICTIM, topic)

    def send_again(data: bytes) -> None:
        stage.running.links[VICTIM].subscribe(f"hushfleet/v1/{FLEET_NAME}/model/{topic.digest}/+")
        send(data)

    return Handed(VICTIM, stage.fleet.model.to_bytes(), send_again, frozenset({Refusal.MODEL_HASH}))


def _grant(stage: AttackedFleet) -> Handed:
    topic = Topic(FLEET_NAME, Kind.INBOX, device="device-01", chunk=0)
    delivery = encode(Inbox(KeyShareDelivery(stage.fleet.grants["device-01"])))
    return Handed("device-01", delivery, _to(stage, "device-01", topic), MALFORMED | {Refusal.SEAL})


def _contribution(stage: AttackedFleet) -> Handed:
    sealed = unanswered(stage)
    return Handed("orchestrator", sealed, lambda data: stage.contribute_as(VICTIM, data), frozenset({Refusal.SEAL}))


def _receipt(stage: AttackedFleet) -> Handed:
    sealed = unanswered(stage)
    withhold(stage, Kind.RECEIPT)
    stage.contribute_as(VICTIM, sealed)
    return Handed(VICTIM, stage.sent(Kind.RECEIPT)[-1], _to(stage, VICTIM, receipt_topic()), MALFORMED)


def _request(stage: AttackedFleet) -> Handed:
    stage.collect(*_COUNTED)
    request = encode(stage.fleet.request(stage.plan, stage.bodies()))
    reasons = MALFORMED | {Refusal.REQUEST_ROOT, Refusal.ID_MALFORMED}
    return Handed("device-01", request, _to(stage, "device-01", Topic(FLEET_NAME, Kind.REQUEST, number=1, chunk=0)), reasons)


def _partial(stage: AttackedFleet) -> Handed:
    stage.collect(*_COUNTED)
    withhold(stage, Kind.PARTIAL)
    stage.running.orchestrator.end_collection()
    stage.pump("device-01")
    topic = Topic(FLEET_NAME, Kind.PARTIAL, device="device-01", number=1, chunk=0)
    return Handed("orchestrator", stage.sent(Kind.PARTIAL)[0], _to(stage, "orchestrator", topic), frozenset({Refusal.SEAL}))


def _evidence(stage: AttackedFleet) -> Handed:
    headers = [Header(FLEET_NAME, stage.fleet.roster.key_id, 1, bytes(32), root, 4) for root in (bytes(32), bytes([1] * 32))]
    evidence = encode(Evidence(*[stage.fleet.sign_header(header) for header in headers]))
    return Handed(VICTIM, evidence, _to(stage, VICTIM, evidence_topic()), MALFORMED)


MESSAGES: dict[Kind, Callable[[AttackedFleet], Handed]] = {
    Kind.ROSTER: _roster,
    Kind.PLAN: a_plan,
    Kind.MODEL: _model,
    Kind.INBOX: _grant,
    Kind.CONTRIBUTION: _contribution,
    Kind.RECEIPT: _receipt,
    Kind.REQUEST: _request,
    Kind.PARTIAL: _partial,
    Kind.EVIDENCE: _evidence,
}
