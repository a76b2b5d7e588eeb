"""Encrypting, accepting and adding ciphertexts: what needs the public key only (PROTOCOL 3, encryption)."""

from collections.abc import Iterable, Sequence
from functools import reduce

from phe.util import mulmod

from hushfleet.encryption.paillier.arithmetic import first_no_ciphertext
from hushfleet.encryption.paillier.comb import FixedBase, fixed_base
from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.labels import concatenated
from hushfleet.randomness import Randomness

HIDING_SLACK_BITS = 265


class Encryption:
    """Ciphertexts, and the exponents r_k that open them: as secret as the plaintexts, dropped once the proof is made."""

    # Not a dataclass: msgspec would encode one without being asked twice.
    __slots__ = ("ciphertexts", "openings")

    def __init__(self, ciphertexts: tuple[int, ...], openings: tuple[int, ...]) -> None:
        self.ciphertexts, self.openings = ciphertexts, openings

    def __repr__(self) -> str:
        return f"Encryption({len(self.ciphertexts)} ciphertexts, openings secret)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("the openings of ciphertexts do not leave the process; pass on the ciphertexts")


def hiding_base(key: PublicKey) -> FixedBase:
    """The comb table of h_s, sized for the responses of knowledge proofs; made on first use, kept for later ones."""
    return fixed_base(key.h_s, key.modulus_squared, key.bits // 2 + HIDING_SLACK_BITS)


def encrypt(key: PublicKey, plaintexts: Sequence[int], randomness: Randomness) -> Encryption:
    """Ciphertexts c = (1 + M N) h_s^r mod N^2 for each M in [0, N), r fresh and uniform in [0, 2^(|N|/2)).

    Hiding rests on the decisional composite residuosity and the short-exponent assumption of Damgard, Jurik and Nielsen.
    Raises `LocalError(VALUE_OUT_OF_SLOT)` for a plaintext outside [0, N).
    """
    if any(not 0 <= plaintext < key.modulus for plaintext in plaintexts):
        raise LocalError(Refusal.VALUE_OUT_OF_SLOT, "a plaintext lies outside [0, N)")
    base, square = hiding_base(key), key.modulus_squared
    openings = tuple(randomness.bits(key.bits // 2) for _ in plaintexts)
    pairs = zip(plaintexts, openings, strict=True)
    return Encryption(tuple(int((1 + plaintext * key.modulus) * base.power(r) % square) for plaintext, r in pairs), openings)


def accept(key: PublicKey, values: Sequence[int]) -> tuple[int, ...]:
    """`values` if each is a unit with 1 < value < N^2, else `PeerError(CIPHERTEXT_INVALID)` naming the first that is not.

    Proves membership in the group only: not who made a ciphertext, nor that it differs from another's.
    """
    bad = first_no_ciphertext(values, key.modulus)
    if bad is not None:
        raise PeerError(Refusal.CIPHERTEXT_INVALID, f"ciphertext {bad} is not a unit modulo N^2 above 1")
    return tuple(values)


def ciphertexts_to_bytes(key: PublicKey, ciphertexts: Sequence[int]) -> bytes:
    """The ciphertexts at fixed width, one after the other."""
    return concatenated(ciphertexts, key.ciphertext_bytes)


def ciphertexts_from_bytes(key: PublicKey, data: bytes, count: int) -> tuple[int, ...]:
    """Exactly `count` accepted ciphertexts. Raises `PeerError`: `CIPHERTEXT_COUNT` for another length, `CIPHERTEXT_INVALID`."""
    width = key.ciphertext_bytes
    if len(data) != count * width:
        raise PeerError(Refusal.CIPHERTEXT_COUNT, f"{len(data)} bytes are not {count} ciphertexts of {width} bytes")
    return accept(key, [int.from_bytes(data[start : start + width], "big") for start in range(0, len(data), width)])


def sum_ciphertexts(key: PublicKey, vectors: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """Ciphertexts of the sums, position by position, of one or more accepted vectors of equal length L.

    Raises `PeerError(CIPHERTEXT_COUNT)` if lengths differ, ValueError for no vector.
    """
    rows = [tuple(vector) for vector in vectors]
    if not rows:
        raise ValueError("nothing to add")
    if len({len(row) for row in rows}) != 1:
        raise PeerError(Refusal.CIPHERTEXT_COUNT, "vectors of different numbers of ciphertexts do not add up")
    square = key.phe().nsquare
    return tuple(reduce(lambda one, other: mulmod(one, other, square), column) for column in zip(*rows, strict=True))
