"""The messages that travel, the topics they travel on (and the broker's ACL, which follows from them), and their ceilings.

May import documents and the ground floor.
"""

from hushfleet.wire.limits import Limits
from hushfleet.wire.messages import (
    NO_MASKED_VECTOR,
    Answer,
    Body,
    Contribution,
    Evidence,
    Inbox,
    KeyShareDelivery,
    SealedAnswer,
    SharesDelivery,
    answer_seal_context,
    contribution_seal_context,
    decode_decryption_request,
    decode_inbox,
    decode_signed,
    encode_signed,
    masked_vector_hash,
)
from hushfleet.wire.status import NOTHING_KNOWN, DeviceStatus, Presence, Readiness, new_boot_id, open_status, sign_status, status_in
from hushfleet.wire.topics import Kind, Role, Topic, acl, build, parse

__all__ = [
    "NOTHING_KNOWN",
    "NO_MASKED_VECTOR",
    "Answer",
    "Body",
    "Contribution",
    "DeviceStatus",
    "Evidence",
    "Inbox",
    "KeyShareDelivery",
    "Kind",
    "Limits",
    "Presence",
    "Readiness",
    "Role",
    "SealedAnswer",
    "SharesDelivery",
    "Topic",
    "acl",
    "answer_seal_context",
    "build",
    "contribution_seal_context",
    "decode_decryption_request",
    "decode_inbox",
    "decode_signed",
    "encode_signed",
    "masked_vector_hash",
    "new_boot_id",
    "open_status",
    "parse",
    "sign_status",
    "status_in",
]
