"""Sealed boxes with a chosen ephemeral key."""

from hushfleet.encryption import SealingKey
from hushfleet.labels import Label
from hushfleet.randomness import SeededRandomness
from tests.support.fixed_box import fixed_box, prefixed

LABEL, CONTEXT, CONTENT = Label.SEAL_CONTRIBUTION, b"context", b"content"


def build() -> dict[str, object]:
    recipient, other = (SealingKey.generate(SeededRandomness(seed)) for seed in (b"recipient", b"other"))
    good = prefixed(LABEL, CONTEXT, CONTENT)
    sealed = fixed_box(recipient.public, good)
    return {
        "label": LABEL.value,
        "context": CONTEXT.hex(),
        "content": CONTENT.hex(),
        "seed": recipient.seed().hex(),
        "public": recipient.public.raw.hex(),
        "cases": [
            _case("untouched", sealed, None),
            _case("to another key", fixed_box(other.public, good)),
            _case("under another label", fixed_box(recipient.public, prefixed(Label.SEAL_ANSWER, CONTEXT, CONTENT))),
            _case("for another context", fixed_box(recipient.public, prefixed(LABEL, b"Context", CONTENT))),
            _case("divided elsewhere", fixed_box(recipient.public, prefixed(LABEL, CONTEXT + CONTENT[:1], CONTENT[1:]))),
            _case("content alone", fixed_box(recipient.public, CONTENT)),
            _case("first bit flipped", bytes([sealed[0] ^ 1]) + sealed[1:]),
            _case("last bit flipped", sealed[:-1] + bytes([sealed[-1] ^ 0x80])),
            _case("a byte short", sealed[:-1]),
            _case("a byte long", sealed + b"\0"),
            _case("nothing", b""),
        ],
        "refused_keys": [bytes(32).hex(), (1).to_bytes(32, "little").hex(), (2**255 - 19).to_bytes(32, "little").hex(), bytes(31).hex()],
    }


def _case(what, sealed, refusal="seal"):
    return {"what": what, "sealed": sealed.hex(), "refusal": refusal}
