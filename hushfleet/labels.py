"""Domain separation: one label per use, all in this file, together with the protocol version (PROTOCOL, notation)."""

import hashlib
from collections.abc import Iterable
from enum import Enum

PROTOCOL_VERSION = 2


class Label(Enum):
    """The purpose of a hash, signature, context or seal. The value is the byte string that enters it."""

    # signatures
    ROSTER = "signature/roster"
    KEY_SHARE = "signature/key-share"
    ENROLMENT = "signature/enrolment"
    BUNDLE = "signature/bundle"
    PLAN = "signature/plan"
    BODY = "signature/body"
    HEADER = "signature/header"
    ANSWER = "signature/answer"
    RECEIPT = "signature/receipt"
    RECORD = "signature/record"
    COMPLAINT = "signature/complaint"
    STATUS = "signature/status"
    # hashes
    KEY_ID = "hash/key-id"
    ROOT = "hash/root"
    MASKED_VECTOR = "hash/masked-vector"
    SELECTION = "hash/selection"
    GROUP_TURN = "hash/group-turn"
    JOURNAL = "hash/journal"
    NORMALISER = "hash/normaliser"
    QUESTION = "hash/question"
    ARCHITECTURE = "hash/architecture"
    ROTATION = "xof/rotation-signs"
    KEPT = "xof/kept-coordinates"
    MASK_POLYNOMIAL = "xof/mask-polynomial"
    FINGERPRINT = "hash/fingerprint"
    # proof contexts and challenges
    CONTEXT_CONTRIBUTION = "context/contribution"
    CONTEXT_PARTIAL = "context/partial"
    BATCH_SEED = "batch/seed"
    BATCH_COEFFICIENTS = "batch/coefficients"
    CHALLENGE_PARTIAL = "challenge/partial"
    # seals
    SEAL_CONTRIBUTION = "seal/contribution"
    SEAL_ANSWER = "seal/answer"
    SEAL_KEY_SHARE = "seal/key-share"
    SEAL_SHARE = "seal/share"
    # tests and simulations only
    SEEDED_RANDOMNESS = "insecure/seeded-randomness"

    @property
    def wire(self) -> bytes:
        """The bytes that enter hashes and signatures: product, protocol version, use."""
        return f"hushfleet/v{PROTOCOL_VERSION}/{self.value}".encode()


def length_prefixed(data: bytes) -> bytes:
    """`LP(x)`: u32 big-endian length, then x."""
    return len(data).to_bytes(4, "big") + data


def sha256(data: bytes) -> bytes:
    """Plain SHA-256 of bytes as received (plan hash, model hash, body hash), 32 bytes."""
    return hashlib.sha256(data).digest()


def labelled(label: Label, *parts: bytes) -> bytes:
    """`LP(label) || parts`, nothing between the parts: each part must be of fixed width or length-prefixed."""
    return length_prefixed(label.wire) + b"".join(parts)


def labelled_hash(label: Label, *parts: bytes) -> bytes:
    """SHA-256 over `labelled(label, *parts)`, 32 bytes."""
    return sha256(labelled(label, *parts))


def labelled_xof(label: Label, count: int, *parts: bytes) -> bytes:
    """`count` bytes of SHAKE-128 over `labelled(label, *parts)`."""
    return hashlib.shake_128(labelled(label, *parts)).digest(count)


def unsigned(value: int, width: int) -> bytes:
    """Fixed-width big-endian; OverflowError if `value` is negative or too wide."""
    return int(value).to_bytes(width, "big")


def concatenated(values: Iterable[int], width: int) -> bytes:
    """Fixed-width big-endian integers, one after the other."""
    return b"".join(unsigned(value, width) for value in values)
