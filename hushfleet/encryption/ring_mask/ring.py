"""Exact products in Z_q[X] / (X^2048 + 1) with numpy's complex transforms, and the packing of coefficients (PROTOCOL 4).

A power of two q, at most 2^54. Every rounding of a transform is checked: a product that could be off is computed with integers.
"""

import numpy as np
import numpy.typing as npt

from hushfleet.encryption.ring_mask.parameters import DEGREE
from hushfleet.errors import PeerError, Refusal

Polynomials = npt.NDArray[np.uint64]
"""Coefficients modulo q, uint64 (m, 2048)."""
IntVector = npt.NDArray[np.int64]

LARGEST_GAP = 0.05
"""The distance from an integer at which a rounded product counts as uncertain."""

_HALF = DEGREE // 2
_TWIST = np.exp(-1j * np.pi * np.arange(_HALF) / DEGREE)
_WORD = 64


def product(polynomials: Polynomials, key: IntVector, *, modulus_bits: int, limb_bits: int) -> Polynomials:
    """Each polynomial (m, 2048) times `key` (2048,), modulo X^2048 + 1 and q = 2^`modulus_bits`.

    The polynomials are cut into centred limbs of `limb_bits` bits, so that no sum inside a transform leaves the 53 bits of a float;
    the key's magnitudes times 2^(`limb_bits` - 1) must add up to less than 2^62.
    """
    transformed = _transform(key.astype(np.float64))
    total = np.zeros(polynomials.shape, np.uint64)
    for place, limb in enumerate(_limbs(polynomials, modulus_bits, limb_bits)):
        found = _back(_transform(limb.astype(np.float64)) * transformed)
        whole = np.rint(found)
        for row in np.flatnonzero(np.abs(found - whole).max(axis=1) >= LARGEST_GAP):
            whole[row] = product_with_integers(limb[row], key)
        total += whole.astype(np.int64).astype(np.uint64) << np.uint64(limb_bits * place)
    total &= _mask(modulus_bits)
    return total


def product_with_integers(polynomial: IntVector, key: IntVector) -> IntVector:
    """The same product of one polynomial (2048,) over the integers, by the definition."""
    whole: IntVector = np.convolve(polynomial, key)
    whole[: DEGREE - 1] -= whole[DEGREE:]
    return whole[:DEGREE]


def pack(polynomials: Polynomials, modulus_bits: int) -> bytes:
    """The coefficients at `modulus_bits` bits each, least significant first."""
    rows = polynomials.reshape(-1, _WORD).T
    words = np.zeros((modulus_bits, rows.shape[1]), np.uint64)
    for place, coefficients in enumerate(rows):
        word, offset = divmod(place * modulus_bits, _WORD)
        words[word] |= coefficients << np.uint64(offset)
        if offset + modulus_bits > _WORD:
            words[word + 1] |= coefficients >> np.uint64(_WORD - offset)
    return words.T.astype("<u8").tobytes()


def unpack(data: bytes, count: int, modulus_bits: int) -> Polynomials:
    """The `count` polynomials in `data`, the inverse of `pack`. Raises `PeerError(MASKED_VECTOR)` for another length."""
    wanted = count * DEGREE * modulus_bits // 8
    if len(data) != wanted:
        raise PeerError(Refusal.MASKED_VECTOR, f"{len(data)} bytes are not {count} polynomials of {modulus_bits} bits, {wanted} bytes")
    words = np.frombuffer(data, "<u8").astype(np.uint64).reshape(-1, modulus_bits).T
    rows = np.zeros((_WORD, words.shape[1]), np.uint64)
    for place in range(_WORD):
        word, offset = divmod(place * modulus_bits, _WORD)
        rows[place] = words[word] >> np.uint64(offset)
        if offset + modulus_bits > _WORD:
            rows[place] |= words[word + 1] << np.uint64(_WORD - offset)
    return (rows & _mask(modulus_bits)).T.reshape(count, DEGREE)


def _mask(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def _limbs(polynomials: Polynomials, modulus_bits: int, limb_bits: int) -> list[IntVector]:
    """Balanced digits to the base 2^`limb_bits`, lowest first; what would be carried past the last is a multiple of q."""
    rest, limbs = polynomials.astype(np.int64), []
    for _ in range(-(-modulus_bits // limb_bits)):
        low = rest & ((1 << limb_bits) - 1)
        low -= (low >> (limb_bits - 1)) << limb_bits
        limbs.append(low)
        rest = (rest - low) >> limb_bits
    return limbs


def _transform(coefficients: npt.NDArray[np.float64]) -> npt.NDArray[np.complex128]:
    """The values at half of the roots of X^2048 + 1, exp(-i pi (4k + 1) / 2048); the others are their conjugates."""
    folded = coefficients[..., :_HALF] - 1j * coefficients[..., _HALF:]
    return np.fft.fft(folded * _TWIST)


def _back(values: npt.NDArray[np.complex128]) -> npt.NDArray[np.float64]:
    folded = np.fft.ifft(values) * _TWIST.conj()
    return np.concatenate([folded.real, -folded.imag], axis=-1)
