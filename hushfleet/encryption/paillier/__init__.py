"""Threshold Paillier (Damgard and Jurik, s = 1; PROTOCOL 3) in three sides that cannot reach each other's secrets.

`dealing` (with `primes`) holds the factors, `secret` a member's share, everything else only what is public. The secret sides are loaded
by name only, so that importing this package or any public module never loads them.
May import `hushfleet.sharing` and the ground floor; the public modules of it only its public modules.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hushfleet.encryption.paillier.contexts import partial_context, proof_context
    from hushfleet.encryption.paillier.dealing import Dealing, deal
    from hushfleet.encryption.paillier.key import PublicKey
    from hushfleet.encryption.paillier.knowledge import KnowledgeProof, Statement, prove, verify, verify_batch
    from hushfleet.encryption.paillier.packing import pack, plaintext_count, slots, unpack
    from hushfleet.encryption.paillier.partials import Partial, PartialProof, combine, verify_partial
    from hushfleet.encryption.paillier.public import (
        Encryption,
        accept,
        ciphertexts_from_bytes,
        ciphertexts_to_bytes,
        encrypt,
        sum_ciphertexts,
    )
    from hushfleet.encryption.paillier.secret import answer, check_share
    from hushfleet.encryption.paillier.share import KeyShare

__all__ = [
    "Dealing",
    "Encryption",
    "KeyShare",
    "KnowledgeProof",
    "Partial",
    "PartialProof",
    "PublicKey",
    "Statement",
    "accept",
    "answer",
    "check_share",
    "ciphertexts_from_bytes",
    "ciphertexts_to_bytes",
    "combine",
    "deal",
    "encrypt",
    "pack",
    "partial_context",
    "plaintext_count",
    "proof_context",
    "prove",
    "slots",
    "sum_ciphertexts",
    "unpack",
    "verify",
    "verify_batch",
    "verify_partial",
]

_HOME = {
    "contexts": ("proof_context", "partial_context"),
    "dealing": ("Dealing", "deal"),
    "key": ("PublicKey",),
    "knowledge": ("KnowledgeProof", "Statement", "prove", "verify", "verify_batch"),
    "packing": ("pack", "plaintext_count", "slots", "unpack"),
    "partials": ("Partial", "PartialProof", "combine", "verify_partial"),
    "public": ("Encryption", "accept", "ciphertexts_from_bytes", "ciphertexts_to_bytes", "encrypt", "sum_ciphertexts"),
    "secret": ("answer", "check_share"),
    "share": ("KeyShare",),
}


def __getattr__(name: str) -> object:
    """Load a public name from its module on first use."""
    home = next((module for module, names in _HOME.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
