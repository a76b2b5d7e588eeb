"""The receipt: the orchestrator's signed word on one contribution (PROTOCOL 7). A broker's PUBACK is not one."""

from enum import StrEnum

from hushfleet.codec import Message, decode, encode
from hushfleet.documents.limits import MAX_RECEIPT_BYTES
from hushfleet.labels import Label
from hushfleet.signing import Signed, SigningKey, VerifyKey


class ReceiptStatus(StrEnum):
    """`held`: parts arrived, some are missing; `accepted`: durable and counted; `refused`: see the reason."""

    HELD = "held"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Receipt(Message, frozen=True):
    """`whole_hash` is SHA-256 of the sealed contribution; `missing` are half-open chunk ranges; `reason` is generic."""

    fleet: str
    device_id: str
    key_id: bytes
    round: int
    whole_hash: bytes
    status: ReceiptStatus
    missing: tuple[tuple[int, int], ...]
    reason: str


def sign_receipt(receipt: Receipt, orchestrator: SigningKey) -> Signed:
    """The orchestrator's signature over an encoded receipt."""
    return orchestrator.sign(Label.RECEIPT, encode(receipt))


def open_receipt(signed: Signed, orchestrator: VerifyKey) -> Receipt:
    """Verify, then decode. Raises `PeerError`."""
    return decode(Receipt, orchestrator.open(Label.RECEIPT, signed), max_bytes=MAX_RECEIPT_BYTES)
