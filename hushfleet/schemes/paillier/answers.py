"""A partial on the wire: one item per ciphertext at fixed width, and the proof."""

from collections.abc import Sequence

from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.encryption.paillier.partials import Partial
from hushfleet.errors import FaultyMember, PeerError, Refusal
from hushfleet.labels import unsigned
from hushfleet.schemes.base import EncryptedAnswer


def to_wire(key: PublicKey, partial: Partial) -> EncryptedAnswer:
    """The items and the proof of an answer."""
    items = tuple(unsigned(value, key.modulus_bytes) for value in partial.values)
    return EncryptedAnswer(items, partial.to_bytes(key)[: -len(items) * key.modulus_bytes])


def from_wire(key: PublicKey, index: int, items: Sequence[bytes], proof: bytes) -> Partial:
    """The inverse, not yet verified. Raises `FaultyMember`, also for a partial that names another member than `index`.

    Each item has its width by itself, so that an answer has one form.
    """
    if any(len(item) != key.modulus_bytes for item in items):
        raise FaultyMember(Refusal.PARTIAL_INVALID, index, f"a partial that is not of {key.modulus_bytes} bytes")
    try:
        partial = Partial.from_bytes(key, proof + b"".join(items), len(items))
    except PeerError as error:
        raise FaultyMember(error.reason, index, error.message) from error
    if partial.index != index:
        raise FaultyMember(Refusal.PARTIAL_INVALID, index, f"answered as member {partial.index}")
    return partial
