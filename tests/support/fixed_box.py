"""A libsodium sealed box with a chosen ephemeral key, put together from its parts: BLAKE2b for the nonce, `crypto_box` for the rest."""

import hashlib

import nacl.bindings

from hushfleet.encryption import SealingPublicKey
from hushfleet.randomness import SeededRandomness


def prefixed(label, context, content):
    """LP(label) || LP(context) || content, spelled out."""
    name = f"hushfleet/v2/{label.value}".encode()
    return len(name).to_bytes(4, "big") + name + len(context).to_bytes(4, "big") + context + content


def fixed_box(public: SealingPublicKey, plain: bytes) -> bytes:
    """The same bytes every time. Never outside vectors: the ephemeral key is public."""
    secret = SeededRandomness(b"ephemeral").octets(32)
    ephemeral = nacl.bindings.crypto_scalarmult_base(secret)
    nonce = hashlib.blake2b(ephemeral + public.raw, digest_size=24).digest()
    return ephemeral + nacl.bindings.crypto_box(plain, nonce, public.raw, secret)
