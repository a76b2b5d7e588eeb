"""What travels: messages, the topics they travel on (and the broker ACL that follows), and ceilings.

May import documents and the ground floor.
"""

from hushfleet.wire.limits import Limits
from hushfleet.wire.messages import (
    Answer,
    Body,
    Contribution,
    Evidence,
    SealedAnswer,
    answer_context,
    contribution_context,
    decode_request,
    decode_signed,
    encode_signed,
)
from hushfleet.wire.topics import Kind, Role, Topic, acl, build, parse

__all__ = [
    "Answer",
    "Body",
    "Contribution",
    "Evidence",
    "Kind",
    "Limits",
    "Role",
    "SealedAnswer",
    "Topic",
    "acl",
    "answer_context",
    "build",
    "contribution_context",
    "decode_request",
    "decode_signed",
    "encode_signed",
    "parse",
]
