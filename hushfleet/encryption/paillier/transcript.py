"""The bytes that both proofs hash, the same for prover and verifier (PROTOCOL 3, batch coefficients and challenge)."""

from collections.abc import Sequence

from gmpy2 import mpz

from hushfleet.encryption.paillier.arithmetic import product_of_powers
from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.labels import Label, concatenated, labelled_hash, labelled_xof, unsigned

COEFFICIENT_BYTES = 16
CHALLENGE_BITS = 128


def batch_coefficients(key: PublicKey, context: bytes, ciphertexts: Sequence[int], committed: Sequence[int]) -> list[int]:
    """rho_1..rho_L, 128 bit each, fixed by the context, all ciphertexts and what the prover commits to (A, or all c_i)."""
    numbers = concatenated((*ciphertexts, *committed), key.ciphertext_bytes)
    seed = labelled_hash(Label.BATCH_SEED, context, unsigned(len(ciphertexts), 4), numbers)
    stream = labelled_xof(Label.BATCH_COEFFICIENTS, COEFFICIENT_BYTES * len(ciphertexts), seed)
    return [int.from_bytes(stream[start : start + COEFFICIENT_BYTES], "big") for start in range(0, len(stream), COEFFICIENT_BYTES)]


def batched_partials(key: PublicKey, context: bytes, ciphertexts: Sequence[int], values: Sequence[int]) -> tuple[mpz, mpz]:
    """C = prod c_k^rho_k and D = prod c_(i,k)^rho_k: one statement instead of L."""
    coefficients, square = batch_coefficients(key, context, ciphertexts, values), key.modulus_squared
    return product_of_powers(ciphertexts, coefficients, square), product_of_powers(values, coefficients, square)


def partial_challenge(key: PublicKey, context: bytes, index: int, statement: tuple[mpz, mpz], commitment: tuple[mpz, mpz]) -> int:
    """The challenge e in [0, 2^128) over the context, N, v, v_i, i, C, D, a, b. v and v_i are the key's, never the prover's."""
    width = key.ciphertext_bytes
    bases = concatenated((key.v, key.verification[index - 1]), width)
    rest = concatenated((*statement, *commitment), width)
    digest = labelled_hash(Label.CHALLENGE_PARTIAL, context, unsigned(key.modulus, key.modulus_bytes), bases, unsigned(index, 2), rest)
    return int.from_bytes(digest[: CHALLENGE_BITS // 8], "big")
