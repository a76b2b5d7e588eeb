"""Signed values in the slots of plaintexts (PROTOCOL 3, packing).

A slot of `width` bits carries sums within +-(2^(width-1) - 1). The plan says the width for updates; other users of slots choose their own.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.errors import LocalError, PeerError, Refusal

_HEADROOM_BITS = 12
_WIDEST = 62


def slots(key_bits: int, width: int) -> int:
    """Slots per plaintext. ValueError unless 2 <= width <= 62."""
    if not 2 <= width <= _WIDEST:
        raise ValueError(f"a slot has 2 to {_WIDEST} bits, not {width}")
    return (key_bits - _HEADROOM_BITS) // width


def plaintext_count(values: int, width: int, key_bits: int) -> int:
    """The number of plaintexts (hence ciphertexts, L) that carry `values` values."""
    return -(-values // slots(key_bits, width))


def pack(values: npt.NDArray[np.int64], width: int, key: PublicKey) -> list[int]:
    """Plaintexts in [0, N) carrying `values` `(d',)` int64 in order, the lowest slot first; unused slots hold zero.

    Raises `LocalError(VALUE_OUT_OF_SLOT)` for a magnitude past 2^(width-1) - 1: nothing is ever wrapped.
    """
    per_plaintext, limit = slots(key.bits, width), (1 << (width - 1)) - 1
    given = np.asarray(values)
    if given.ndim != 1 or given.dtype != np.int64:
        raise TypeError("values must be a one-dimensional int64 array")
    if given.size and (given.max() > limit or given.min() < -limit):
        raise LocalError(Refusal.VALUE_OUT_OF_SLOT, f"a value lies outside the +-{limit} that a slot of {width} bit carries")
    padded = np.zeros(-(-given.size // per_plaintext) * per_plaintext, np.int64)
    padded[: given.size] = given
    offset = _offset(per_plaintext, width)
    return [(_joined(row, width) - offset) % key.modulus for row in padded.reshape(-1, per_plaintext)]


def unpack(plaintexts: Sequence[int], count: int, width: int, key: PublicKey) -> npt.NDArray[np.int64]:
    """The first `count` slots as int64 `(count,)`, each in [-2^(width-1), 2^(width-1)).

    Raises `PeerError(SUM_REMAINDER)` if anything is left beyond them, in the unused slots too;
    `LocalError(CIPHERTEXT_COUNT)` if `plaintexts` are not exactly as many as `count` values need.
    """
    per_plaintext = slots(key.bits, width)
    if len(plaintexts) != plaintext_count(count, width, key.bits):
        raise LocalError(Refusal.CIPHERTEXT_COUNT, f"{len(plaintexts)} plaintexts do not carry exactly {count} values")
    result = np.empty(count, np.int64)
    for start, plaintext in zip(range(0, count, per_plaintext), plaintexts, strict=True):
        used = min(per_plaintext, count - start)
        result[start : start + used] = _split(plaintext, used, width, key.modulus)
    return result


def _offset(used: int, width: int) -> int:
    """2^(width-1) in every slot: added, it turns balanced digits into plain ones."""
    return ((1 << (used * width)) - 1) // ((1 << width) - 1) << (width - 1)


def _joined(row: npt.NDArray[np.int64], width: int) -> int:
    digits = (row + (1 << (width - 1))).astype("<u8")
    bits = np.unpackbits(digits.view(np.uint8).reshape(-1, 8), axis=1, count=width, bitorder="little")
    return int.from_bytes(np.packbits(bits.ravel(), bitorder="little").tobytes(), "little")


def _split(plaintext: int, used: int, width: int, modulus: int) -> npt.NDArray[np.int64]:
    centred = plaintext - modulus if plaintext > modulus // 2 else plaintext
    shifted, bits = centred + _offset(used, width), used * width
    if not 0 <= shifted < 1 << bits:
        raise PeerError(Refusal.SUM_REMAINDER, "a sum has a rest beyond its last slot: a contribution overflowed")
    raw = np.frombuffer(shifted.to_bytes((bits + 7) // 8, "little"), np.uint8)
    digits = np.unpackbits(raw, count=bits, bitorder="little").reshape(used, width)
    padded = np.zeros((used, 64), np.uint8)
    padded[:, :width] = digits
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").ravel().astype(np.int64) - (1 << (width - 1))
