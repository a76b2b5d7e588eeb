"""Partial decryptions as everybody sees them: checking a member's answer, and combining a quorum (PROTOCOL 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import gmpy2

from hushfleet.encryption.paillier.arithmetic import first_unacceptable, power, product_of_powers
from hushfleet.encryption.paillier.comb import fixed_base
from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.encryption.paillier.transcript import CHALLENGE_BITS, batched_partials, partial_challenge
from hushfleet.errors import FaultyMember, LocalError, PeerError, Refusal
from hushfleet.labels import concatenated, unsigned
from hushfleet.sharing.interpolation import integer_coefficients

_INDEX_BYTES = 2
_CHALLENGE_BYTES = CHALLENGE_BITS // 8
MASK_SLACK_BITS = 256


def mask_bits(key: PublicKey) -> int:
    """Length of a proof's mask w: 2|N| + |Delta| + 256. A shorter one leaks the key share through z."""
    return 2 * key.bits + key.delta.bit_length() + MASK_SLACK_BITS


def response_bits(key: PublicKey) -> int:
    """Length of a proof's response: z < 2^(2|N| + |Delta| + 257)."""
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
    """The partial decryptions c_(i,1)..c_(i,L) of the member `index` (from 1), with one proof for all. Public once sent."""

    index: int
    values: tuple[int, ...]
    proof: PartialProof

    def __post_init__(self) -> None:
        if self.index < 1 or not self.values:
            raise PeerError(Refusal.PARTIAL_INVALID, "a partial has an index of at least 1 and at least one value")

    def to_bytes(self, key: PublicKey) -> bytes:
        """u16 index, e, z, then the values, all at fixed width."""
        proof = unsigned(self.proof.challenge, _CHALLENGE_BYTES) + unsigned(self.proof.response, _response_bytes(key))
        return unsigned(self.index, _INDEX_BYTES) + proof + concatenated(self.values, key.ciphertext_bytes)

    @classmethod
    def from_bytes(cls, key: PublicKey, data: bytes, count: int) -> Self:
        """The partial with exactly `count` values in `data`; `PeerError(PARTIAL_INVALID)` for another length. Not yet verified."""
        widths = [_INDEX_BYTES, _CHALLENGE_BYTES, _response_bytes(key)] + [key.ciphertext_bytes] * count
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


def verify_partial(key: PublicKey, ciphertexts: Sequence[int], partial: Partial, context: bytes) -> None:
    """Return if `partial` opens exactly these ciphertexts (up to sign) with the share behind v_i, in this context.

    Raises `FaultyMember`: `PARTIAL_INVALID` (index, number, or a value that is not an accepted unit), `PARTIAL_PROOF`.
    """
    index = partial.index
    if not index <= key.members or len(partial.values) != len(ciphertexts):
        raise FaultyMember(Refusal.PARTIAL_INVALID, index, f"not one of {key.members} members answering {len(ciphertexts)} ciphertexts")
    if first_unacceptable(partial.values, key.modulus) is not None:
        raise FaultyMember(Refusal.PARTIAL_INVALID, index, "a partial is not a unit modulo N^2 above 1")
    if partial.proof.response >> response_bits(key) or not _proof_holds(key, ciphertexts, partial, context):
        raise FaultyMember(Refusal.PARTIAL_PROOF, index, "the proof does not hold for these ciphertexts in this context")


def _proof_holds(key: PublicKey, ciphertexts: Sequence[int], partial: Partial, context: bytes) -> bool:
    square, (e, z) = key.modulus_squared, (partial.proof.challenge, partial.proof.response)
    C, D = batched_partials(key, context, ciphertexts, partial.values)
    v_z = fixed_base(key.v, square, response_bits(key)).power(z)
    a = power(C, 4 * z, square) * power(D, -2 * e, square) % square
    b = v_z * power(key.verification[partial.index - 1], -e, square) % square
    return e == partial_challenge(key, context, partial.index, (C, D), (a, b))


def combine(key: PublicKey, ciphertext_count: int, partials: Sequence[Partial]) -> tuple[int, ...]:
    """The L = `ciphertext_count` plaintexts in [0, N) from verified partials of at least `threshold` different members.

    Takes the lowest `threshold` indices; any quorum of verified partials opens the same values. Raises
    `LocalError(COMBINE_TOO_FEW)`; `PeerError`: `PARTIAL_INVALID` (a member twice, or another number of values),
    `COMBINE_RESIDUE` (they do not fit together: a partial was not verified).
    """
    by_index = {partial.index: partial.values for partial in partials}
    if len(by_index) != len(partials) or any(len(values) != ciphertext_count for values in by_index.values()):
        raise PeerError(Refusal.PARTIAL_INVALID, f"partials of one member twice, or not of {ciphertext_count} values each")
    if len(by_index) < key.threshold:
        raise LocalError(Refusal.COMBINE_TOO_FEW, f"{len(by_index)} partials, {key.threshold} are needed")
    quorum = sorted(by_index)[: key.threshold]
    return tuple(open_one(key, {index: by_index[index][k] for index in quorum}) for k in range(ciphertext_count))


def open_one(key: PublicKey, quorum: Mapping[int, int]) -> int:
    """M in [0, N) from one partial per member of a quorum; `PeerError(COMBINE_RESIDUE)` if they do not fit together."""
    square = key.modulus_squared
    # The proof fixes a partial up to sign only: the factor 2 removes the sign.
    exponents = {index: 2 * coefficient for index, coefficient in integer_coefficients(tuple(quorum), key.members).items()}
    above = product_of_powers([quorum[i] for i in exponents if exponents[i] > 0], [e for e in exponents.values() if e > 0], square)
    below = product_of_powers([quorum[i] for i in exponents if exponents[i] < 0], [-e for e in exponents.values() if e < 0], square)
    opened = above * gmpy2.invert(below, square) % square
    residue, rest = divmod(opened - 1, key.modulus)
    if rest:
        raise PeerError(Refusal.COMBINE_RESIDUE, "the partials do not combine to a plaintext")
    return int(residue * gmpy2.invert(4 * key.delta**2, key.modulus) % key.modulus)
