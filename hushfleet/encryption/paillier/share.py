"""One member's share of the decryption key."""

import hmac
from typing import Self

from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import unsigned

_INDEX_BYTES = 2


class KeyShare:
    """s_i of the member `index` (from 1). Its repr shows no value, it compares in constant time and no encoder takes it.

    `PeerError(SHARE_MISMATCH)` for an index or value below 1. Whether it fits a key is for `secret.check_share` to say.
    """

    # Not a dataclass: msgspec would encode one without being asked twice.
    __slots__ = ("_index", "_value")

    def __init__(self, index: int, value: int) -> None:
        if index < 1 or value < 1:
            raise PeerError(Refusal.SHARE_MISMATCH, "a key share has an index and a value of at least 1")
        self._index, self._value = index, value

    @property
    def index(self) -> int:
        """The index of the member that this share is for, from 1."""
        return self._index

    @property
    def value(self) -> int:
        """The secret s_i."""
        return self._value

    def __repr__(self) -> str:
        return f"KeyShare(index={self.index}, secret)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KeyShare):
            return NotImplemented
        width = (max(self.value.bit_length(), other.value.bit_length()) + 7) // 8
        return self.index == other.index and hmac.compare_digest(unsigned(self.value, width), unsigned(other.value, width))

    __hash__ = None  # type: ignore[assignment]  # a secret is not a dictionary key

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a key share does not leave the process by accident; store to_bytes() on purpose")

    def to_bytes(self, key: PublicKey) -> bytes:
        """u16 index, then the value at the width of N; for a sealed message or the member's own store."""
        return unsigned(self.index, _INDEX_BYTES) + unsigned(self.value, key.modulus_bytes)

    @classmethod
    def from_bytes(cls, key: PublicKey, data: bytes) -> Self:
        """Inverse of `to_bytes`; `PeerError(SHARE_MISMATCH)` for any other length."""
        if len(data) != _INDEX_BYTES + key.modulus_bytes:
            raise PeerError(Refusal.SHARE_MISMATCH, f"a share of this key has {_INDEX_BYTES + key.modulus_bytes} bytes, not {len(data)}")
        return cls(int.from_bytes(data[:_INDEX_BYTES], "big"), int.from_bytes(data[_INDEX_BYTES:], "big"))
