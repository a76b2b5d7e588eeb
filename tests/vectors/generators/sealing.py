"""Sealed boxes with a chosen ephemeral key, put together from libsodium's parts: BLAKE2b for the nonce, `crypto_box` for the rest."""

import hashlib

import nacl.bindings

from hushfleet.encryption import SealingKey
from hushfleet.labels import Label
from hushfleet.randomness import SeededRandomness

LABEL, CONTEXT, CONTENT = Label.SEAL_CONTRIBUTION, b"context", b"content"


def build() -> dict[str, object]:
    recipient, other = (SealingKey.generate(SeededRandomness(seed)) for seed in (b"recipient", b"other"))
    good = _prefix(LABEL, CONTEXT) + CONTENT
    sealed = _sealed(recipient, good)
    return {
        "label": LABEL.value, "context": CONTEXT.hex(), "content": CONTENT.hex(),
        "seed": recipient.seed().hex(), "public": recipient.public.raw.hex(),
        "cases": [
            _case("untouched", sealed, None),
            _case("to another key", _sealed(other, good)),
            _case("under another label", _sealed(recipient, _prefix(Label.SEAL_ANSWER, CONTEXT) + CONTENT)),
            _case("for another context", _sealed(recipient, _prefix(LABEL, b"Context") + CONTENT)),
            _case("context and content divided elsewhere", _sealed(recipient, _prefix(LABEL, CONTEXT + CONTENT[:1]) + CONTENT[1:])),
            _case("content alone", _sealed(recipient, CONTENT)),
            _case("first bit flipped", bytes([sealed[0] ^ 1]) + sealed[1:]),
            _case("last bit flipped", sealed[:-1] + bytes([sealed[-1] ^ 0x80])),
            _case("a byte short", sealed[:-1]),
            _case("a byte long", sealed + b"\0"),
            _case("nothing", b""),
        ],
        "refused_keys": [bytes(32).hex(), (1).to_bytes(32, "little").hex(), (2**255 - 19).to_bytes(32, "little").hex(), bytes(31).hex()],
    }


def _prefix(label, context):
    """LP(label) || LP(context), spelled out."""
    name = f"hushfleet/v1/{label.value}".encode()
    return len(name).to_bytes(4, "big") + name + len(context).to_bytes(4, "big") + context


def _sealed(key, plain):
    secret = SeededRandomness(b"ephemeral").octets(32)
    ephemeral = nacl.bindings.crypto_scalarmult_base(secret)
    nonce = hashlib.blake2b(ephemeral + key.public.raw, digest_size=24).digest()
    return ephemeral + nacl.bindings.crypto_box(plain, nonce, key.public.raw, secret)


def _case(what, sealed, refusal="seal"):
    return {"what": what, "sealed": sealed.hex(), "refusal": refusal}
