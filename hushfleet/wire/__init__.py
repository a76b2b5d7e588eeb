"""The messages that travel, the topics they travel on (and the broker's ACL, which follows from them), and their ceilings.

May import documents and the ground floor.
"""

from hushfleet.wire.limits import Limits
from hushfleet.wire.messages import (
    Answer,
    Body,
    Contribution,
    DeviceStatus,
    Evidence,
    Presence,
    SealedAnswer,
    answer_seal_context,
    contribution_seal_context,
    decode_decryption_request,
    decode_signed,
    decode_status,
    encode_signed,
)
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
    "decode_status",
    "encode_signed",
    "parse",
]
