"""Randomised Hadamard rotation, block by block, with signs that follow from the plan (PROTOCOL 6).

The rotation spreads an update over its block, so that clamping and rounding cost little. It hides nothing: the signs
are public. Privacy rests on the integer check of `rounding`, whatever these floats do.
"""

import functools
import math

import numpy as np
import numpy.typing as npt

from hushfleet.errors import LocalError, Refusal
from hushfleet.ids import HASH_BYTES
from hushfleet.labels import Label, labelled_xof
from hushfleet.privacy.blocks import block_size, padded_dimension
from hushfleet.privacy.integer_rules import LARGEST_SUM
from hushfleet.privacy.keep import kept_coordinates

_LARGEST_FACTOR_BITS = 4


def rotate(vector: npt.NDArray[np.float64], plan_hash: bytes) -> npt.NDArray[np.float64]:
    """Orthonormal rotation of `vector` (d,) float64, padded with zeros: (d',) float64 of the same L2 norm up to rounding.

    BLAS chooses the order of additions, so the last bits may differ between machines. That is harmless: each device
    rotates its own update only, and what it sends is checked in integers afterwards.
    `LocalError`: `PLAN_DIMENSION`, or `UPDATE_SHAPE` if `vector` is not one-dimensional.
    """
    if vector.ndim != 1:
        raise LocalError(Refusal.UPDATE_SHAPE, f"a vector of shape {vector.shape}; one axis is expected")
    block = block_size(vector.size)
    padded = np.zeros(padded_dimension(vector.size))
    padded[: vector.size] = vector
    padded *= _signs(padded.size, plan_hash)
    return _hadamard(padded.reshape(-1, block)).reshape(-1) * _orthonormal(block)


def unrotate(total: npt.NDArray[np.int64], plan_hash: bytes, dimension: int, *, keep_one_in: int = 1) -> npt.NDArray[np.float64]:
    """The inverse rotation of a decoded sum `total` (d' / `keep_one_in`,) int64, cut to (d,) float64; bit-identical on every machine.

    What was not kept counts as zero, what was is scaled by `keep_one_in`: over the choice of coordinates the result has the mean that
    all of them give. All |total_i| are below 2^23, so each partial sum of the +-1 transform is an integer below 2^41: exact in float64
    in whatever order a BLAS adds. One multiplication per coordinate by the same constant follows, then a sign.
    `LocalError`: `PLAN_DIMENSION`, `PLAN_KEEP`, `UPDATE_SHAPE` (not int64 of that length), `VALUE_OUT_OF_SLOT`.
    """
    block, kept = block_size(dimension), kept_coordinates(dimension, keep_one_in, plan_hash)
    _check_total(total, kept.size)
    whole = np.zeros(padded_dimension(dimension))
    whole[kept] = total * np.int64(keep_one_in)
    turned = _hadamard(whole.reshape(-1, block)).reshape(-1) * _orthonormal(block)
    turned *= _signs(turned.size, plan_hash)
    return turned[:dimension].copy()


def _check_total(total: npt.NDArray[np.int64], length: int) -> None:
    if total.shape != (length,) or total.dtype != np.int64:
        raise LocalError(Refusal.UPDATE_SHAPE, f"a sum of shape {total.shape}, {total.dtype}; int64 ({length},) is expected")
    if int(total.max()) > LARGEST_SUM or int(total.min()) < -LARGEST_SUM:
        raise LocalError(Refusal.VALUE_OUT_OF_SLOT, f"a sum has a coordinate beyond +-{LARGEST_SUM}")


def _signs(padded: int, plan_hash: bytes) -> npt.NDArray[np.float64]:
    """(d',) of +-1: bit i mod 8 (least significant first) of byte i // 8 of the labelled XOF; a set bit is -1."""
    if len(plan_hash) != HASH_BYTES:
        raise LocalError(Refusal.PLAN_HASH, f"a plan hash of {len(plan_hash)} bytes; {HASH_BYTES} are expected")
    octets = np.frombuffer(labelled_xof(Label.ROTATION, padded // 8, plan_hash), dtype=np.uint8)
    return 1.0 - 2.0 * np.unpackbits(octets, bitorder="little").astype(np.float64)


def _orthonormal(block: int) -> float:
    """b^-1/2. `block` is a power of two, so the division only moves the exponent of a correctly rounded root."""
    return math.sqrt(block) / block


def _hadamard(blocks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """H_b times each row of `blocks` (n, b), unnormalised: H_b is a Kronecker product, one batched product per factor."""
    shape = blocks.shape
    *leading, last = _factor_bits(shape[1].bit_length() - 1)
    turned, stride = blocks, shape[1]
    for bits in leading:
        stride >>= bits
        turned = _matrix(bits) @ turned.reshape(-1, 1 << bits, stride)
    return (turned.reshape(-1, 1 << last) @ _matrix(last)).reshape(shape)


def _factor_bits(bits: int) -> list[int]:
    """`bits` split into parts of about the same size, none above 4: products with 16x16 matrices measured fastest."""
    parts = -(-bits // _LARGEST_FACTOR_BITS)
    return [bits // parts + (index < bits % parts) for index in range(parts)]


@functools.cache
def _matrix(bits: int) -> npt.NDArray[np.float64]:
    matrix = np.ones((1, 1))
    for _ in range(bits):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix
