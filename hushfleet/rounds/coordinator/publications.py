"""What the orchestrator publishes, and on which topic."""

from hushfleet.codec import decode, encode
from hushfleet.documents import DecryptionRequest, Receipt, ReceiptStatus, RoundRecord, VerifiedPlan, VerifiedRoster, sign_receipt
from hushfleet.documents.limits import MAX_RECORD_BYTES
from hushfleet.errors import HushfleetError
from hushfleet.rounds.effects import Publish
from hushfleet.signing import Signed, SigningKey
from hushfleet.training import GlobalModel
from hushfleet.wire import Kind, Topic, encode_signed


def roster_publication(roster: VerifiedRoster) -> Publish:
    """The roster in force, retained."""
    topic = Topic(roster.roster.fleet, Kind.ROSTER, number=roster.roster.serial, chunk=0)
    return Publish(topic, encode_signed(roster.signed))


def roster_removal(roster: VerifiedRoster) -> Publish:
    """Clears a roster that is no longer in force."""
    there = roster_publication(roster)
    return Publish(there.topic, b"", clears_bytes=len(there.data))


def model_publication(fleet: str, model: GlobalModel) -> Publish:
    """The model in force, retained under its hash."""
    return Publish(Topic(fleet, Kind.MODEL, digest=model.digest.hex(), chunk=0), model.to_bytes())


def model_removal(fleet: str, model: GlobalModel) -> Publish:
    """Clears a model that is no longer in force."""
    there = model_publication(fleet, model)
    return Publish(there.topic, b"", clears_bytes=len(there.data))


def plan_publication(plan: VerifiedPlan) -> Publish:
    """The plan of the open round, retained until it closes."""
    return Publish(Topic(plan.plan.fleet, Kind.PLAN), encode_signed(plan.signed))


def plan_removal(fleet: str) -> Publish:
    """Clears the plan of a closed round."""
    return Publish(Topic(fleet, Kind.PLAN), b"")


def record_publication(record: Signed) -> Publish:
    """The latest round record, retained. This side signed it."""
    return Publish(_record_topic(record), encode_signed(record))


def record_removal(record: Signed) -> Publish:
    """Clears the record of a round that is no longer the latest."""
    there = record_publication(record)
    return Publish(there.topic, b"", clears_bytes=len(there.data))


def _record_topic(record: Signed) -> Topic:
    content = decode(RoundRecord, record.content, max_bytes=MAX_RECORD_BYTES)
    return Topic(content.fleet, Kind.RECORD, number=content.round, chunk=0)


def request_publication(fleet: str, round_number: int, request: DecryptionRequest) -> Publish:
    """The decryption request, to all members at once."""
    return Publish(Topic(fleet, Kind.REQUEST, number=round_number, chunk=0), encode(request))


def receipt_publication(
    plan: VerifiedPlan, device_id: str, whole_hash: bytes, signing_key: SigningKey, error: HushfleetError | None = None
) -> Publish:
    """A final receipt: accepted, or refused with nothing but the reason's identifier."""
    status = ReceiptStatus.REFUSED if error else ReceiptStatus.ACCEPTED
    reason = error.reason.value if error else ""
    receipt = Receipt(plan.plan.fleet, device_id, plan.plan.key_id, plan.plan.round, whole_hash, status, (), reason)
    topic = Topic(plan.plan.fleet, Kind.RECEIPT, device=device_id, number=plan.plan.round)
    return Publish(topic, encode_signed(sign_receipt(receipt, signing_key)))
