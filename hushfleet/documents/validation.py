"""The checks of single fields of documents and messages, whoever wrote them. Their constructors call these, and so do decoders.

A value that passes here fits every fixed-width hash input and a signed 64-bit database column.
"""

from hushfleet.documents.limits import MAX_COUNTER
from hushfleet.errors import PeerError, Refusal
from hushfleet.ids import HASH_BYTES, parse_id

SEALED_BOX = 1
"""The suite of a sealing key for libsodium's sealed boxes: 32 bytes, X25519. There is no other yet."""

_LONGEST_NAME = 200


def require_ids(*texts: str) -> None:
    """Raise `PeerError(ID_MALFORMED)` unless each is an id."""
    for text in texts:
        parse_id(text)


def require_hashes(*values: bytes) -> None:
    """Raise `PeerError(MESSAGE_MALFORMED)` unless each has 32 bytes."""
    for value in values:
        if len(value) != HASH_BYTES:
            raise PeerError(Refusal.MESSAGE_MALFORMED, f"a hash has {HASH_BYTES} bytes, not {len(value)}")


def require_name(text: str) -> None:
    """Raise `PeerError(MESSAGE_MALFORMED)` unless it is a name of a model or question: 1 to 200 printable characters."""
    if not (1 <= len(text) <= _LONGEST_NAME and text.isprintable()):
        raise PeerError(Refusal.MESSAGE_MALFORMED, f"not a name of 1 to {_LONGEST_NAME} printable characters: {text[:80]!r}")


def require_suite(suite: int) -> None:
    """Raise `PeerError(SEALING_SUITE)` for a sealing key that is not for libsodium's sealed boxes."""
    if suite != SEALED_BOX:
        raise PeerError(Refusal.SEALING_SUITE, f"sealing suite {suite} is unknown; this version seals with suite {SEALED_BOX} alone")


def require_counts(*values: int, least: int = 0, most: int = MAX_COUNTER) -> None:
    """Raise `PeerError(MESSAGE_MALFORMED)` unless each lies in `least`..`most`."""
    for value in values:
        if not least <= value <= most:
            raise PeerError(Refusal.MESSAGE_MALFORMED, f"{value} does not lie between {least} and {most}")
