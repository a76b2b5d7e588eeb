"""Proof of plaintext knowledge, one per contribution over its L ciphertexts (PROTOCOL 3).

Paillier is malleable: without this proof a device could submit a shifted copy of another's ciphertext and read it in the sum.
It proves that the contributor knew its plaintexts in this context; it bounds none of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from gmpy2 import mpz

from hushfleet.encryption.paillier.arithmetic import first_no_ciphertext, product_of_powers
from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.encryption.paillier.public import HIDING_SLACK_BITS, Encryption, hiding_base
from hushfleet.encryption.paillier.transcript import batch_coefficients
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import unsigned
from hushfleet.randomness import Randomness

MOST_CIPHERTEXTS = 4096
WEIGHT_BITS = 128


def response_bits(key: PublicKey) -> int:
    """z_r < 2^(|N|/2 + 265); the mask w is one bit shorter."""
    return key.bits // 2 + HIDING_SLACK_BITS


@dataclass(frozen=True, slots=True)
class KnowledgeProof:
    """(A, z_m, z_r). `PeerError(KNOWLEDGE_PROOF)` for a negative number; what a key demands is checked by `verify`."""

    commitment: int
    z_m: int
    z_r: int

    def __post_init__(self) -> None:
        if min(self.commitment, self.z_m, self.z_r) < 0:
            raise PeerError(Refusal.KNOWLEDGE_PROOF, "a proof of knowledge has no negative numbers")

    def to_bytes(self, key: PublicKey) -> bytes:
        """A, z_m, z_r at fixed width, about 1.4 KB at 3072 bit."""
        commitment, z_m, z_r = _widths(key)
        return unsigned(self.commitment, commitment) + unsigned(self.z_m, z_m) + unsigned(self.z_r, z_r)

    @classmethod
    def from_bytes(cls, key: PublicKey, data: bytes) -> Self:
        """Inverse of `to_bytes`; `PeerError(KNOWLEDGE_PROOF)` for any other length. Not yet verified."""
        commitment, z_m, z_r = _widths(key)
        if len(data) != commitment + z_m + z_r:
            raise PeerError(Refusal.KNOWLEDGE_PROOF, f"a proof of knowledge has {commitment + z_m + z_r} bytes, not {len(data)}")
        parts = data[:commitment], data[commitment : commitment + z_m], data[commitment + z_m :]
        return cls(*(int.from_bytes(part, "big") for part in parts))


def _widths(key: PublicKey) -> tuple[int, int, int]:
    return key.ciphertext_bytes, key.modulus_bytes, (response_bits(key) + 7) // 8


@dataclass(frozen=True, slots=True)
class Statement:
    """One contribution's ciphertexts and proof, and the context it must hold in."""

    ciphertexts: tuple[int, ...]
    context: bytes
    proof: KnowledgeProof


class _Relation(NamedTuple):
    """The relation that is left to check of a well-formed statement: (1 + z_m N) h_s^z_r = +-A prod c_k^rho_k."""

    statement: Statement
    coefficients: list[int]


def prove(key: PublicKey, encryption: Encryption, plaintexts: Sequence[int], context: bytes, randomness: Randomness) -> KnowledgeProof:
    """A proof for `encryption` of `plaintexts` in `context`. The masks drawn are as secret as the plaintexts, fresh every time."""
    u, w = randomness.below(key.modulus), randomness.bits(response_bits(key) - 1)
    commitment = int((1 + u * key.modulus) * hiding_base(key).power(w) % key.modulus_squared)
    coefficients = batch_coefficients(context, encryption.ciphertexts, (commitment,), key.ciphertext_bytes)
    z_m = (u + sum(rho * plaintext for rho, plaintext in zip(coefficients, plaintexts, strict=True))) % key.modulus
    z_r = w + sum(rho * r for rho, r in zip(coefficients, encryption.openings, strict=True))
    return KnowledgeProof(commitment, z_m, z_r)


def verify(key: PublicKey, ciphertexts: Sequence[int], context: bytes, proof: KnowledgeProof) -> None:
    """Return if whoever made `proof` in `context` knew the plaintexts of `ciphertexts`, else `PeerError(KNOWLEDGE_PROOF)`."""
    statement = Statement(tuple(ciphertexts), context, proof)
    if not _well_formed(key, statement) or not _hold(key, [_relation(key, statement)], [1]):
        raise PeerError(Refusal.KNOWLEDGE_PROOF, "the proof of plaintext knowledge does not hold for these ciphertexts in this context")


def verify_batch(key: PublicKey, statements: Sequence[Statement], randomness: Randomness) -> tuple[int, ...]:
    """Positions of the statements that `verify` would refuse, in order; empty if all hold.

    `randomness` weighs the statements: it must be unpredictable to their makers. A wrong statement passes with probability
    below 2^-127.
    """
    malformed = {position for position, statement in enumerate(statements) if not _well_formed(key, statement)}
    relations = {position: _relation(key, statement) for position, statement in enumerate(statements) if position not in malformed}
    return tuple(sorted(malformed.union(_culprits(key, relations, list(relations), randomness))))


def _culprits(key: PublicKey, relations: dict[int, _Relation], positions: list[int], randomness: Randomness) -> list[int]:
    """Bisection: a set that holds under fresh weights has no culprit, one alone that does not is one."""
    weights = [randomness.bits(WEIGHT_BITS) for _ in positions] if len(positions) > 1 else [1] * len(positions)
    if _hold(key, [relations[position] for position in positions], weights):
        return []
    if len(positions) == 1:
        return positions
    half = len(positions) // 2
    return _culprits(key, relations, positions[:half], randomness) + _culprits(key, relations, positions[half:], randomness)


def _well_formed(key: PublicKey, statement: Statement) -> bool:
    proof, count = statement.proof, len(statement.ciphertexts)
    ranges = proof.z_m < key.modulus and not proof.z_r >> response_bits(key) and 1 <= count <= MOST_CIPHERTEXTS
    return ranges and first_no_ciphertext((proof.commitment, *statement.ciphertexts), key.modulus) is None


def _relation(key: PublicKey, statement: Statement) -> _Relation:
    committed = (statement.proof.commitment,)
    return _Relation(statement, batch_coefficients(statement.context, statement.ciphertexts, committed, key.ciphertext_bytes))


def _hold(key: PublicKey, relations: Sequence[_Relation], weights: Sequence[int]) -> bool:
    """True if the product of the relations, each to its weight, holds after squaring both sides."""
    square = mpz(key.modulus_squared)
    pairs = list(zip(relations, weights, strict=True))
    z_m = sum(weight * relation.statement.proof.z_m for relation, weight in pairs)
    z_r = sum(weight * relation.statement.proof.z_r for relation, weight in pairs)
    left = (1 + z_m % key.modulus * key.modulus) * hiding_base(key).power(z_r) % square
    bases = [number for relation, _ in pairs for number in (relation.statement.proof.commitment, *relation.statement.ciphertexts)]
    exponents = [weight * rho for relation, weight in pairs for rho in (1, *relation.coefficients)]
    right = product_of_powers(bases, exponents, square)
    return bool((left * left - right * right) % square == 0)
