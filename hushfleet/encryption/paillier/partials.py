"""Partial decryptions as everybody sees them: checking a member's answer, and combining a quorum (PROTOCOL 3).

The committee takes the N-th root of a ciphertext modulo N: threshold RSA after Shoup ("Practical threshold signatures", 2000) with
public exponent N. The root proves the sum, whoever lied; a member's proof is needed only to name one that did.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import repeat
from typing import Self

import gmpy2

from hushfleet.encryption.paillier.arithmetic import first_no_root, power, product_of_powers
from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.encryption.paillier.transcript import CHALLENGE_BITS, batched_partials, partial_challenge
from hushfleet.errors import FaultyMember, LocalError, PeerError, Refusal
from hushfleet.labels import concatenated, unsigned
from hushfleet.sharing.interpolation import integer_coefficients

_INDEX_BYTES = 2
_CHALLENGE_BYTES = CHALLENGE_BITS // 8
MASK_SLACK_BITS = 256


def mask_bits(key: PublicKey) -> int:
    """Length of a proof's mask w: |N| + |Delta| + 256. A shorter one leaks the key share through z."""
    return key.bits + key.delta.bit_length() + MASK_SLACK_BITS


def response_bits(key: PublicKey) -> int:
    """Length of a proof's response: z < 2^(|N| + |Delta| + 257)."""
    return mask_bits(key) + 1


def _response_bytes(key: PublicKey) -> int:
    return (response_bits(key) + 7) // 8


@dataclass(frozen=True, slots=True)
class PartialProof:
    """(e, z): the partials of one answer were made with the share that v_i commits to. It names no statement of its own."""

    challenge: int
    response: int

    def __post_init__(self) -> None:
        if not 0 <= self.challenge < 1 << CHALLENGE_BITS or self.response < 0:
            raise PeerError(Refusal.PARTIAL_PROOF, "the challenge or response of a partial's proof is out of range")


@dataclass(frozen=True, slots=True)
class Partial:
    """The partial roots x_(i,1)..x_(i,L) modulo N of the member `index` (from 1), with one proof for all. Public once sent."""

    index: int
    values: tuple[int, ...]
    proof: PartialProof

    def __post_init__(self) -> None:
        if self.index < 1 or not self.values:
            raise PeerError(Refusal.PARTIAL_INVALID, "a partial has an index of at least 1 and at least one value")

    def to_bytes(self, key: PublicKey) -> bytes:
        """u16 index, e, z, then the values, all at fixed width."""
        proof = unsigned(self.proof.challenge, _CHALLENGE_BYTES) + unsigned(self.proof.response, _response_bytes(key))
        return unsigned(self.index, _INDEX_BYTES) + proof + concatenated(self.values, key.modulus_bytes)

    @classmethod
    def from_bytes(cls, key: PublicKey, data: bytes, count: int) -> Self:
        """The partial with exactly `count` values in `data`; `PeerError(PARTIAL_INVALID)` for another length. Not yet verified."""
        widths = [_INDEX_BYTES, _CHALLENGE_BYTES, _response_bytes(key)] + [key.modulus_bytes] * count
        if len(data) != sum(widths):
            raise PeerError(Refusal.PARTIAL_INVALID, f"{len(data)} bytes are not a partial of {count} values, {sum(widths)} bytes")
        index, challenge, response, *values = _cut(data, widths)
        return cls(index, tuple(values), PartialProof(challenge, response))


def _cut(data: bytes, widths: Sequence[int]) -> list[int]:
    numbers, start = [], 0
    for width in widths:
        numbers.append(int.from_bytes(data[start : start + width], "big"))
        start += width
    return numbers


def check_form(key: PublicKey, count: int, partial: Partial) -> None:
    """Return if `partial` is `count` units modulo N from one of the committee; else `FaultyMember(PARTIAL_INVALID)`."""
    index = partial.index
    if not index <= key.members or len(partial.values) != count:
        raise FaultyMember(Refusal.PARTIAL_INVALID, index, f"not one of {key.members} members answering {count} ciphertexts")
    if first_no_root(partial.values, key.modulus) is not None:
        raise FaultyMember(Refusal.PARTIAL_INVALID, index, "a partial is not a unit modulo N")


def verify_partial(key: PublicKey, ciphertexts: Sequence[int], partial: Partial, context: bytes) -> None:
    """Return if `partial` opens exactly these ciphertexts (up to sign) with the share behind v_i, in this context.

    Raises `FaultyMember`: `PARTIAL_INVALID` (index, number, or a value that is not an accepted unit), `PARTIAL_PROOF`.
    """
    check_form(key, len(ciphertexts), partial)
    if partial.proof.response >> response_bits(key) or not _proof_holds(key, ciphertexts, partial, context):
        raise FaultyMember(Refusal.PARTIAL_PROOF, partial.index, "the proof does not hold for these ciphertexts in this context")


def _proof_holds(key: PublicKey, ciphertexts: Sequence[int], partial: Partial, context: bytes) -> bool:
    n, (e, z) = key.modulus, (partial.proof.challenge, partial.proof.response)
    C, D = batched_partials(key, context, ciphertexts, partial.values)
    a = power(C, 4 * z, n) * power(D, -2 * e, n) % n
    b = power(key.v, z, n) * power(key.verification[partial.index - 1], -e, n) % n
    return e == partial_challenge(key, context, partial.index, (C, D), (a, b))


def combine(
    key: PublicKey, ciphertexts: Sequence[int], partials: Sequence[Partial], *, executor: Executor | None = None
) -> tuple[int, ...]:
    """The plaintexts in [0, N) of the ciphertexts, from partials of at least `threshold` different members in the form of `check_form`.

    Takes the lowest `threshold` indices. What it returns is the true plaintexts, whoever made the partials: each ciphertext is
    held against the root it opened with. That does not say that each partial is right: two members can cancel each other.
    `executor` opens ciphertexts side by side. Raises `LocalError(COMBINE_TOO_FEW)`; `PeerError`: `PARTIAL_INVALID` (a member
    twice, or another number of values), `COMBINE_RESIDUE` (a partial is wrong: `verify_partial` says whose).
    """
    by_index = {partial.index: partial.values for partial in partials}
    if len(by_index) != len(partials) or any(len(values) != len(ciphertexts) for values in by_index.values()):
        raise PeerError(Refusal.PARTIAL_INVALID, f"partials of one member twice, or not of {len(ciphertexts)} values each")
    if len(by_index) < key.threshold:
        raise LocalError(Refusal.COMBINE_TOO_FEW, f"{len(by_index)} partials, {key.threshold} are needed")
    quorum = sorted(by_index)[: key.threshold]
    columns = [{index: by_index[index][k] for index in quorum} for k in range(len(ciphertexts))]
    return tuple((executor.map if executor else map)(open_one, repeat(key), ciphertexts, columns))


def open_one(key: PublicKey, ciphertext: int, quorum: Mapping[int, int]) -> int:
    """M in [0, N) of one ciphertext, from one partial per member of a quorum; `PeerError(COMBINE_RESIDUE)` if they do not open it.

    R, the N-th root of C modulo N, is unique (gcd(N, 4m) = 1), so C R^-N = 1 modulo N holds for the true root alone.
    """
    n, square = key.modulus, key.modulus_squared
    combined = _signed_product(quorum, {i: 2 * weight for i, weight in integer_coefficients(tuple(quorum), key.members).items()}, n)
    _, a, b = gmpy2.gcdext(4 * key.delta**2, n)
    root = power(combined, int(a), n) * power(ciphertext % n, int(b), n) % n
    residue, rest = divmod(ciphertext * power(root, -n, square) % square - 1, n)
    if rest:
        raise PeerError(Refusal.COMBINE_RESIDUE, "the partials do not combine to the root of the ciphertext")
    return int(residue)


def _signed_product(bases: Mapping[int, int], exponents: Mapping[int, int], modulus: int) -> int:
    """The product of bases[i] ** exponents[i] modulo `modulus`, of units; an exponent may be negative."""
    above, below = (
        product_of_powers([bases[i] for i in found], [abs(exponents[i]) for i in found], modulus)
        for found in ([i for i, e in exponents.items() if e > 0], [i for i, e in exponents.items() if e < 0])
    )
    return int(above * gmpy2.invert(below, modulus) % modulus)
