"""Ed25519 signatures over `LP(label) || bytes as received` (PROTOCOL, notation)."""

import hmac
from typing import Self

import nacl.exceptions
import nacl.signing

from hushfleet.codec import Message
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label, labelled
from hushfleet.randomness import Randomness

KEY_BYTES = 32
SIGNATURE_BYTES = 64


class Signed(Message, frozen=True):
    """Encoded bytes and a signature over them. Decode `content` only after `VerifyKey.open`."""

    content: bytes
    signature: bytes


class VerifyKey:
    """An Ed25519 public key, 32 bytes."""

    __slots__ = ("_key", "raw")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise PeerError(Refusal.KEY_MALFORMED, f"an Ed25519 public key has {KEY_BYTES} bytes, not {len(raw)}")
        self.raw = bytes(raw)
        self._key = nacl.signing.VerifyKey(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyKey) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"VerifyKey({self.raw.hex()[:16]}..)"

    def verify(self, label: Label, content: bytes, signature: bytes) -> None:
        """Raise `PeerError(SIGNATURE)` unless `signature` is this key's over `content` under `label`."""
        try:
            self._key.verify(labelled(label, content), signature)
        except (nacl.exceptions.BadSignatureError, ValueError, TypeError) as error:
            raise PeerError(Refusal.SIGNATURE, f"the signature for {label.value} does not verify") from error

    def open(self, label: Label, signed: Signed) -> bytes:
        """The content of `signed`, verified."""
        self.verify(label, signed.content, signed.signature)
        return signed.content


class SigningKey:
    """An Ed25519 secret key. Its repr shows nothing; it cannot be pickled."""

    __slots__ = ("_key", "verify_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise PeerError(Refusal.KEY_MALFORMED, f"an Ed25519 seed has {KEY_BYTES} bytes, not {len(seed)}")
        self._key = nacl.signing.SigningKey(bytes(seed))
        self.verify_key = VerifyKey(bytes(self._key.verify_key))

    @classmethod
    def generate(cls, randomness: Randomness) -> Self:
        """A fresh key."""
        return cls(randomness.octets(KEY_BYTES))

    def __repr__(self) -> str:
        return "SigningKey(secret)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SigningKey) and hmac.compare_digest(self.seed(), other.seed())

    __hash__ = None  # type: ignore[assignment]  # a secret key is not a dictionary key

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a signing key does not leave the process by accident; store seed() on purpose")

    def seed(self) -> bytes:
        """The secret seed, 32 bytes, for a deliberate store."""
        return bytes(self._key)

    def sign(self, label: Label, content: bytes) -> Signed:
        """`content` with a signature over `LP(label) || content`."""
        return Signed(content, self._key.sign(labelled(label, content)).signature)
