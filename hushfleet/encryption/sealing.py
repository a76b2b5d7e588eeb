"""X25519 sealed boxes (libsodium `crypto_box_seal`) bound to a use and a context.

A sealed box hides its content from everybody but the recipient and refuses any change. It does not authenticate the
sender, and it has no associated data: the label and the context therefore travel inside, in front of the content.
"""

import hmac
from typing import Self

import nacl.bindings
import nacl.exceptions
import nacl.public

from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label, labelled, length_prefixed
from hushfleet.randomness import Randomness

KEY_BYTES = 32
SEAL_BYTES = nacl.bindings.crypto_box_SEALBYTES
"""The bytes that the box itself adds: an ephemeral public key and an authenticator. Label and context come on top (`sealed_size`)."""

_FIELD_PRIME = 2**255 - 19
# Any scalar will do: clamping makes it a multiple of eight, which sends a point of low order to zero, and libsodium refuses that.
_ANY_SCALAR = bytes(KEY_BYTES)


class SealingPublicKey:
    """An X25519 public key, 32 bytes.

    Raises `PeerError(KEY_MALFORMED)` for another length, an encoding that is not canonical (two encodings of one key would
    pass for two keys) and the points of low order, under which a box could be opened by anybody.
    """

    __slots__ = ("_key", "raw")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise PeerError(Refusal.KEY_MALFORMED, f"an X25519 public key has {KEY_BYTES} bytes, not {len(raw)}")
        self.raw = bytes(raw)
        _check_point(self.raw)
        self._key = nacl.public.PublicKey(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SealingPublicKey) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"SealingPublicKey({self.raw.hex()[:16]}..)"

    def box(self, plain: bytes) -> bytes:
        """The bare libsodium sealed box. Outside this file use `seal`, which binds a label and a context."""
        return nacl.public.SealedBox(self._key).encrypt(plain)


class SealingKey:
    """An X25519 secret key. Its repr shows nothing; it cannot be pickled."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise PeerError(Refusal.KEY_MALFORMED, f"an X25519 secret has {KEY_BYTES} bytes, not {len(seed)}")
        self._key = nacl.public.PrivateKey(bytes(seed))
        self.public = SealingPublicKey(bytes(self._key.public_key))

    @classmethod
    def generate(cls, randomness: Randomness) -> Self:
        """A fresh key."""
        return cls(randomness.octets(KEY_BYTES))

    def __repr__(self) -> str:
        return "SealingKey(secret)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SealingKey) and hmac.compare_digest(self.seed(), other.seed())

    __hash__ = None  # type: ignore[assignment]  # a secret key is not a dictionary key

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a sealing key does not leave the process by accident; store seed() on purpose")

    def seed(self) -> bytes:
        """The secret, 32 bytes, for a deliberate store."""
        return bytes(self._key)

    def unbox(self, sealed: bytes) -> bytes:
        """The plain bytes of a bare sealed box, or `PeerError(SEAL)`. Outside this file use `unseal`."""
        try:
            return nacl.public.SealedBox(self._key).decrypt(sealed)
        except (nacl.exceptions.CryptoError, ValueError, TypeError) as error:
            raise PeerError(Refusal.SEAL, "the sealed box does not open with this key") from error


def seal(public: SealingPublicKey, label: Label, context: bytes, content: bytes) -> bytes:
    """`content` for the holder of `public` alone, bound to `label` and `context`; `sealed_size` bytes.

    The ephemeral key is libsodium's own, from the operating system, so two seals of one content differ: what must be resent
    byte for byte is stored sealed. Nothing in the box proves who made it; a signature inside does.
    """
    return public.box(_prefix(label, context) + content)


def unseal(key: SealingKey, label: Label, context: bytes, sealed: bytes) -> bytes:
    """The content of what `seal` made for this key, label and context.

    Raises `PeerError(SEAL)`: sealed to another key, altered, cut, or made for another label or context.
    """
    plain, prefix = key.unbox(sealed), _prefix(label, context)
    if not plain.startswith(prefix):
        raise PeerError(Refusal.SEAL, f"the sealed box is not a {label.value} of this context")
    return plain[len(prefix) :]


def sealed_size(label: Label, context_bytes: int, content_bytes: int) -> int:
    """Bytes of `seal` for a context and a content of these lengths."""
    return SEAL_BYTES + len(_prefix(label, b"")) + context_bytes + content_bytes


def _prefix(label: Label, context: bytes) -> bytes:
    return labelled(label, length_prefixed(context))


def _check_point(raw: bytes) -> None:
    if int.from_bytes(raw, "little") >= _FIELD_PRIME:
        raise PeerError(Refusal.KEY_MALFORMED, "the X25519 public key is not in canonical form")
    try:
        nacl.bindings.crypto_scalarmult(_ANY_SCALAR, raw)
    except (nacl.exceptions.CryptoError, RuntimeError) as error:
        raise PeerError(Refusal.KEY_MALFORMED, "the X25519 public key is a point of low order") from error
