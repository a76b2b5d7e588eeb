"""Everything about masks that needs no secret: public polynomials, adding masked vectors, taking the mask off their sum (PROTOCOL 4)."""

import numpy as np

from hushfleet.encryption.ring_mask.parameters import CARRY_BITS, DEGREE, RingParameters
from hushfleet.encryption.ring_mask.ring import IntVector, Polynomials, product, unpack
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label, labelled_xof, unsigned

BLOCK = 16
"""Polynomials worked on at a time: the memory needed beside a vector stays the same, whatever its length."""
_SUM_LIMB_BITS = 18
_COEFFICIENT_BYTES = 8


def public_polynomials(plan_hash: bytes, start: int, count: int, parameters: RingParameters) -> Polynomials:
    """a_start .. of this plan: hashed from it, so that nobody chooses them."""
    size = DEGREE * _COEFFICIENT_BYTES
    stream = (labelled_xof(Label.MASK_POLYNOMIAL, size, plan_hash, unsigned(j, 4)) for j in range(start, start + count))
    words = np.frombuffer(b"".join(stream), "<u8").reshape(count, DEGREE)
    return words & np.uint64((1 << parameters.modulus_bits) - 1)


def masked_from_bytes(data: bytes, length: int, parameters: RingParameters) -> Polynomials:
    """A masked vector of `length` values. Raises `PeerError(MASKED_VECTOR)` for another number of bytes."""
    return unpack(data, parameters.polynomials(length), parameters.modulus_bits)


def add(one: Polynomials, other: Polynomials, parameters: RingParameters) -> Polynomials:
    """The masked vector of the sum, under the sum of the keys."""
    return (one + other) & np.uint64((1 << parameters.modulus_bits) - 1)


def unmask(total: Polynomials, key: IntVector, length: int, plan_hash: bytes, parameters: RingParameters) -> IntVector:
    """The sum of the vectors, int64 (length,), from the sum of their masked forms and the sum of their keys (2048,).

    Right as long as the sum of all errors lies in [-2^13, 2^13) and each sum fits its slot. Raises `PeerError(SUM_REMAINDER)` if
    the unused places are not zero: a key or a masked vector is wrong.
    """
    parts = []
    for start in range(0, len(total), BLOCK):
        block = total[start : start + BLOCK]
        public = public_polynomials(plan_hash, start, len(block), parameters)
        parts.append(_values(block - product(public, key, modulus_bits=parameters.modulus_bits, limb_bits=_SUM_LIMB_BITS), parameters))
    values = np.concatenate(parts)
    if values[length:].any():
        raise PeerError(Refusal.SUM_REMAINDER, "the unmasked sum has a rest beyond its last value")
    return values[:length]


def _values(noisy: Polynomials, parameters: RingParameters) -> IntVector:
    """The balanced digits that stand above the errors, in order."""
    rounded = (noisy + np.uint64(1 << (CARRY_BITS - 1))) & np.uint64((1 << parameters.modulus_bits) - 1)
    rest = (rounded >> np.uint64(CARRY_BITS)).astype(np.int64).ravel()
    width, count = parameters.slot_bits, parameters.values_per_coefficient
    digits = np.empty((rest.size, count), np.int64)
    for place in range(count):
        low = rest & ((1 << width) - 1)
        digits[:, place] = low - ((low >> (width - 1)) << width)
        rest = (rest - digits[:, place]) >> width
    return digits.ravel()
