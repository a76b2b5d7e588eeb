"""The bytes that both proofs hash, the same for prover and verifier (PROTOCOL 3, batch coefficients and challenge)."""

from collections.abc import Sequence

from gmpy2 import mpz

from hushfleet.encryption.paillier.arithmetic import product_of_powers
from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.labels import Label, concatenated, labelled_hash, labelled_xof, unsigned

COEFFICIENT_BYTES = 16
CHALLENGE_BITS = 128


def batch_coefficients(context: bytes, statement: Sequence[int], committed: Sequence[int], width: int) -> list[int]:
    """rho_1..rho_L, 128 bit each, fixed by the context, the L numbers of the statement and what the prover commits to (A, or all x_i).

    `width` is the width of every number in bytes.
    """
    numbers = concatenated((*statement, *committed), width)
    seed = labelled_hash(Label.BATCH_SEED, context, unsigned(len(statement), 4), numbers)
    stream = labelled_xof(Label.BATCH_COEFFICIENTS, COEFFICIENT_BYTES * len(statement), seed)
    return [int.from_bytes(stream[start : start + COEFFICIENT_BYTES], "big") for start in range(0, len(stream), COEFFICIENT_BYTES)]


def batched_partials(key: PublicKey, context: bytes, ciphertexts: Sequence[int], values: Sequence[int]) -> tuple[mpz, mpz]:
    """C = prod (C_k mod N)^rho_k and D = prod x_(i,k)^rho_k, both modulo N: one statement instead of L."""
    residues = [ciphertext % key.modulus for ciphertext in ciphertexts]
    coefficients = batch_coefficients(context, residues, values, key.modulus_bytes)
    return product_of_powers(residues, coefficients, key.modulus), product_of_powers(values, coefficients, key.modulus)


def partial_challenge(key: PublicKey, context: bytes, index: int, statement: tuple[mpz, mpz], commitment: tuple[mpz, mpz]) -> int:
    """The challenge e in [0, 2^128) over the context, N, v, v_i, i, C, D, a, b. v and v_i are the key's, never the prover's."""
    width = key.modulus_bytes
    bases = concatenated((key.v, key.verification[index - 1]), width)
    rest = concatenated((*statement, *commitment), width)
    digest = labelled_hash(Label.CHALLENGE_PARTIAL, context, unsigned(key.modulus, key.modulus_bytes), bases, unsigned(index, 2), rest)
    return int.from_bytes(digest[: CHALLENGE_BITS // 8], "big")
