"""Ceilings on what is received, checked before memory is taken."""

from dataclasses import dataclass

from hushfleet.documents.limits import MAX_ANSWER_BYTES, MAX_DECRYPTION_REQUEST_BYTES, MAX_SIGNED_BYTES


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, all inclusive. The defaults fit a cohort of 2,800 devices and a model of a million values."""

    signed_document: int = MAX_SIGNED_BYTES
    """A signed roster, plan, receipt or record."""
    body: int = 5 << 20
    """One contribution's body: up to 4,096 ciphertexts of a 3072-bit key and a proof."""
    contribution: int = 8 << 20
    """One contribution with its masked vector, opened."""
    request: int = MAX_DECRYPTION_REQUEST_BYTES
    """A decryption request: all bodies of a cohort."""
    inbox: int = 16 << 20
    """A sealed key share, or the sealed shares of a cohort."""
    answer: int = MAX_ANSWER_BYTES
    """One member's answer, opened: as many partials as a body has ciphertexts."""
    model: int = 16 << 20
    """Parameters, four bytes a value."""
    asset: int = 16 << 20
    """A trainable graph, a normaliser or a question."""
    evidence: int = 4096
    """Two signed headers."""
    status: int = 512
    """The status of a device, signed."""


LIMITS = Limits()
