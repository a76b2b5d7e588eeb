"""The messages that travel, the topics they travel on (and the broker's ACL, which follows from them), and their ceilings.

May import documents and the ground floor.
"""

from hushfleet.wire.limits import Limits
from hushfleet.wire.messages import (
    Answer,
    Body,
    Contribution,
    Evidence,
    SealedAnswer,
    answer_seal_context,
    contribution_seal_context,
    decode_decryption_request,
    decode_signed,
    encode_signed,
)
from hushfleet.wire.status import DeviceStatus, Presence, new_boot_id, open_status, sign_status
from hushfleet.wire.topics import Kind, Role, Topic, acl, build, parse

__all__ = [
    "Answer",
    "Body",
    "Contribution",
    "DeviceStatus",
    "Evidence",
    "Kind",
    "Limits",
    "Presence",
    "Role",
    "SealedAnswer",
    "Topic",
    "acl",
    "answer_seal_context",
    "build",
    "contribution_seal_context",
    "decode_decryption_request",
    "decode_signed",
    "encode_signed",
    "new_boot_id",
    "open_status",
    "parse",
    "sign_status",
]
