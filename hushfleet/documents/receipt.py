"""The receipt: the orchestrator's signed word on one contribution (PROTOCOL 7). A broker's PUBACK is not one."""

import re
from enum import StrEnum

from hushfleet.codec import Message, decode, encode
from hushfleet.documents.limits import MAX_RECEIPT_BYTES
from hushfleet.documents.validation import require_counts, require_hashes, require_ids
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.signing import Signed, SigningKey, VerifyKey

_REASON = re.compile(r"[a-z0-9-]{0,63}")


class ReceiptStatus(StrEnum):
    """`held`: parts arrived, some are missing; `accepted`: durable and counted; `refused`: see the reason."""

    HELD = "held"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Receipt(Message, frozen=True):
    """`whole_hash` is SHA-256 of the sealed contribution; `missing` are half-open chunk ranges; `reason` is generic.

    Raises `PeerError`: `ID_MALFORMED`, `MESSAGE_MALFORMED`.
    """

    fleet: str
    device_id: str
    key_id: bytes
    round: int
    whole_hash: bytes
    status: ReceiptStatus
    missing: tuple[tuple[int, int], ...]
    reason: str

    def __post_init__(self) -> None:
        require_ids(self.fleet, self.device_id)
        require_hashes(self.key_id, self.whole_hash)
        require_counts(self.round, least=1)
        if not _REASON.fullmatch(self.reason):
            raise PeerError(Refusal.MESSAGE_MALFORMED, "a receipt's reason is an identifier: it goes into a log as it stands")
        for first, end in self.missing:
            require_counts(first)
            require_counts(end, least=first + 1)


def sign_receipt(receipt: Receipt, orchestrator: SigningKey) -> Signed:
    """The orchestrator's signature over an encoded receipt."""
    return orchestrator.sign(Label.RECEIPT, encode(receipt))


def open_receipt(signed: Signed, orchestrator: VerifyKey) -> Receipt:
    """Verify, then decode. Raises `PeerError`."""
    return decode(Receipt, orchestrator.open(Label.RECEIPT, signed), max_bytes=MAX_RECEIPT_BYTES)
