"""Prime fields, and the fixed-width packing of their elements (PROTOCOL 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import gmpy2
import numpy as np
import numpy.typing as npt

from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.randomness import Randomness

IntVector = npt.NDArray[np.int64]

# Products of two elements must stay inside int64.
_VECTOR_BITS = 31
_WORD_BITS = 32
_PRIMALITY_ROUNDS = 40


@dataclass(frozen=True, slots=True)
class PrimeField:
    """GF(modulus). Scalars may live in a field of any size, vectors in one below 2^31.

    Raises `LocalError(SETTINGS_INVALID)` if the modulus is even, below 3 or composite.
    """

    modulus: int

    def __post_init__(self) -> None:
        if self.modulus < 3 or not gmpy2.is_prime(self.modulus, _PRIMALITY_ROUNDS) or self.modulus % 2 == 0:
            raise LocalError(Refusal.SETTINGS_INVALID, f"{self.modulus} is not an odd prime, so there is no such field")

    @property
    def width(self) -> int:
        """Bits of one packed element."""
        return (self.modulus - 1).bit_length()

    @property
    def largest(self) -> int:
        """The greatest magnitude that survives `lift(reduce(x))`: (modulus - 1) / 2."""
        return self.modulus // 2

    def packed_bytes(self, count: int) -> int:
        """Bytes of `count` packed elements."""
        return (count * self.width + 7) // 8

    def check_vectors(self) -> None:
        """Raise `LocalError(SETTINGS_INVALID)` if the field is too large for vectors of int64."""
        if self.width > _VECTOR_BITS:
            raise LocalError(Refusal.SETTINGS_INVALID, f"vectors need a field below 2^{_VECTOR_BITS}; use scalars in this one")

    def lift(self, values: IntVector) -> IntVector:
        """Elements in [0, p) as the signed integers of least magnitude, (-p/2, p/2). `(d,)` to `(d,)`."""
        return np.where(values > self.largest, values - self.modulus, values)

    def lift_scalar(self, value: int) -> int:
        """One element in [0, p) as the signed integer of least magnitude."""
        return value - self.modulus if value > self.largest else value

    def draw(self, count: int, randomness: Randomness) -> IntVector:
        """`count` uniform elements `(count,)`: words of `width` bits, those not below p thrown away, never reduced."""
        self.check_vectors()
        kept = np.zeros(0, dtype=np.int64)
        while (missing := count - kept.size) > 0:
            words = self._words(randomness.octets(self.packed_bytes(missing)), missing)
            kept = np.concatenate([kept, words[words < self.modulus]])
        return kept

    def pack(self, values: IntVector) -> bytes:
        """Elements `(d,)` in [0, p), `width` bits each, least significant first; the last byte is filled with zero bits."""
        octets = values.astype("<u4").view(np.uint8).reshape(-1, 4)
        bits = np.unpackbits(octets, axis=1, bitorder="little")[:, : self.width]
        return np.packbits(bits.reshape(-1), bitorder="little").tobytes()

    def unpack(self, data: bytes, count: int) -> IntVector:
        """The inverse of `pack`, `(count,)`.

        Raises `PeerError`: `MESSAGE_MALFORMED` for a wrong length or filling that is not zero, `FIELD_ELEMENT` for a word >= p.
        """
        self.check_vectors()
        if len(data) != self.packed_bytes(count):
            raise PeerError(Refusal.MESSAGE_MALFORMED, f"{count} elements take {self.packed_bytes(count)} bytes, not {len(data)}")
        if count and (data[-1] >> ((count * self.width - 1) % 8 + 1)):
            raise PeerError(Refusal.MESSAGE_MALFORMED, "the bits after the last element are not zero")
        words = self._words(data, count)
        if np.any(words >= self.modulus):
            raise PeerError(Refusal.FIELD_ELEMENT, f"a word is not an element of GF({self.modulus})")
        return words

    def _words(self, data: bytes, count: int) -> IntVector:
        bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=count * self.width, bitorder="little")
        wide = np.zeros((count, _WORD_BITS), dtype=np.uint8)
        wide[:, : self.width] = bits.reshape(count, self.width)
        return np.packbits(wide, axis=1, bitorder="little").reshape(-1).view("<u4").astype(np.int64)


FIELD = PrimeField(1_048_573)
"""The field of the protocol: the largest prime below 2^20."""


V = TypeVar("V", int, IntVector)


def evaluate(coefficients: Sequence[V], x: int, modulus: int) -> V:
    """c_0 + c_1 x + c_2 x^2 + .. mod `modulus` for coefficients in [0, modulus): scalars, or `(d,)` coordinate by coordinate."""
    return reduce(lambda value, coefficient: (value * x + coefficient) % modulus, reversed(coefficients))


def check_holders(threshold: int, members: int, modulus: int) -> None:
    """Raise `LocalError(COMMITTEE_SIZE)` unless 1 <= threshold <= members < modulus."""
    if not 1 <= threshold <= members < modulus:
        raise LocalError(Refusal.COMMITTEE_SIZE, f"a threshold of {threshold} among {members} holders modulo {modulus} cannot be dealt")
