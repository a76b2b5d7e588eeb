"""msgpack through msgspec structs: strict, bounded, no left-over bytes (PROTOCOL 7, encoding).

Every message and document derives from `Message`. Arrays instead of maps: a field too many or too few is refused.
"""

from typing import TypeVar

import msgspec

from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.expectations import kind_text, wire_text
from hushfleet.labels import PROTOCOL_VERSION


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of everything that has a wire form.

    Subclasses validate in `__post_init__` by raising `PeerError`, or `LocalError` where a person sets the values: decoded ones come from
    a peer, so `decode` turns the latter into the former. No field has a default: a decoder would take a message that lacks it.
    """


class Envelope(Message, frozen=True):
    """The outer form of everything that travels: the protocol version, then the encoded message."""

    version: int
    content: msgspec.Raw


M = TypeVar("M", bound=Message)

_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """The bytes of a message, version first. Sign and hash these; never re-encode what was received."""
    return _encoder.encode((PROTOCOL_VERSION, message))


def decode(kind: type[M], data: bytes, *, max_bytes: int) -> M:
    """Decode one message of type `kind`.

    Raises `PeerError`: `MESSAGE_TOO_LARGE` before anything is parsed, `MESSAGE_VERSION`, `MESSAGE_MALFORMED`
    (truncation, left-over bytes, unknown or missing fields, wrong types, values the constructor refuses).
    """
    if len(data) > max_bytes:
        raise PeerError(Refusal.MESSAGE_TOO_LARGE, f"a {kind_text(kind)} of {len(data)} bytes, at most {max_bytes} allowed")
    envelope = _strict(Envelope, data, kind)
    if envelope.version != PROTOCOL_VERSION:
        raise PeerError(Refusal.MESSAGE_VERSION, f"{kind_text(kind)}: {_version_text(envelope.version)}")
    return _strict(kind, bytes(envelope.content), kind)


def _strict(kind: type[M], data: bytes, wanted: type[Message]) -> M:
    try:
        return msgspec.msgpack.decode(data, type=kind, strict=True)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise PeerError(Refusal.MESSAGE_MALFORMED, wire_text(wanted, error)) from error
    except LocalError as error:
        raise PeerError(Refusal.MESSAGE_MALFORMED, f"no {kind_text(wanted)} that can be: {error.message}") from error


def _version_text(version: int) -> str:
    if version < PROTOCOL_VERSION:
        return f"protocol version {version} is no longer spoken; this is version {PROTOCOL_VERSION}: both sides need the same release"
    return f"protocol version {version} is newer than this one, {PROTOCOL_VERSION}: install a newer release here"
