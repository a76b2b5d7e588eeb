"""The share that one holder keeps of a vector or scalar. Fewer than `threshold` of them say nothing about the secret."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Self, TypeVar

import numpy as np

from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.sharing.field import FIELD, IntVector, PrimeField


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ScalarShare:
    """f(index) in [0, p). The repr shows no value; it cannot be pickled.

    Raises `PeerError`: `SHARE_INDEX` unless 1 <= index < p, `FIELD_ELEMENT` unless the value lies in [0, p).
    """

    index: int
    value: int
    field: PrimeField = FIELD

    def __post_init__(self) -> None:
        _check_index(self.index, self.field)
        if not 0 <= self.value < self.field.modulus:
            raise PeerError(Refusal.FIELD_ELEMENT, f"share {self.index} is not an element of GF({self.field.modulus})")

    def __repr__(self) -> str:
        return f"ScalarShare(index={self.index}, secret)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScalarShare) and _alike(self, other) and hmac.compare_digest(self.to_bytes(), other.to_bytes())

    __hash__ = None  # type: ignore[assignment]  # a secret is not a dictionary key

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a share does not leave the process by accident; store to_bytes() on purpose")

    @property
    def size(self) -> int:
        """The number of values, 1."""
        return 1

    def to_bytes(self) -> bytes:
        """The value alone, little-endian, as wide as the field."""
        return self.value.to_bytes((self.field.width + 7) // 8, "little")

    def plus(self, other: Self) -> Self:
        """The share of the sum of both secrets. Raises `PeerError(SHARE_MISMATCH)` unless index and field agree."""
        _require_alike(self, other)
        return type(self)(self.index, (self.value + other.value) % self.field.modulus, self.field)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VectorShare:
    """f_1(index) .. f_d(index), int64 `(d,)` in [0, p), read-only. The repr shows no value; it cannot be pickled.

    Raises `PeerError`: `SHARE_INDEX` unless 1 <= index < p, `FIELD_ELEMENT` unless every value is an integer in [0, p).
    """

    index: int
    values: IntVector
    field: PrimeField = FIELD

    def __post_init__(self) -> None:
        self.field.check_vectors()
        _check_index(self.index, self.field)
        given = np.asarray(self.values)
        if given.ndim != 1 or given.dtype.kind not in "iu" or np.any((given < 0) | (given >= self.field.modulus)):
            raise PeerError(Refusal.FIELD_ELEMENT, f"share {self.index} is not a vector of elements of GF({self.field.modulus})")
        own = given.astype(np.int64)
        own.flags.writeable = False
        object.__setattr__(self, "values", own)

    def __repr__(self) -> str:
        return f"VectorShare(index={self.index}, {self.size} values, secret)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VectorShare) and _alike(self, other) and hmac.compare_digest(self.to_bytes(), other.to_bytes())

    __hash__ = None  # type: ignore[assignment]  # a secret is not a dictionary key

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a share does not leave the process by accident; store to_bytes() on purpose")

    @property
    def size(self) -> int:
        """The number of values, d."""
        return int(self.values.size)

    def to_bytes(self) -> bytes:
        """The values alone, 20 bits each in the protocol's field, least significant first (2048 values: 5,120 bytes)."""
        return self.field.pack(self.values)

    @classmethod
    def from_bytes(cls, data: bytes, *, index: int, count: int, field: PrimeField = FIELD) -> Self:
        """The share of holder `index` from `to_bytes` of `count` values.

        Raises `PeerError`: `MESSAGE_MALFORMED` for a wrong length or stray bits, `FIELD_ELEMENT` for a word >= p, `SHARE_INDEX`.
        """
        return cls(index, field.unpack(data, count), field)

    def plus(self, other: Self) -> Self:
        """The share of the sum of both vectors. Raises `PeerError(SHARE_MISMATCH)` unless index, field and length agree."""
        _require_alike(self, other)
        return type(self)(self.index, (self.values + other.values) % self.field.modulus, self.field)


S = TypeVar("S", VectorShare, ScalarShare)


def add(shares: Iterable[S]) -> S:
    """The answer of one holder: the share of the sum of all secrets, from its shares of each.

    Raises `LocalError(COMBINE_TOO_FEW)` if there is none, `PeerError(SHARE_MISMATCH)` unless index, field and length agree.
    """
    held = list(shares)
    if not held:
        raise LocalError(Refusal.COMBINE_TOO_FEW, "there are no shares to add")
    return reduce(lambda one, other: one.plus(other), held)


def _check_index(index: int, field: PrimeField) -> None:
    if not 1 <= index < field.modulus:
        raise PeerError(Refusal.SHARE_INDEX, f"share index {index} is not in 1..{field.modulus - 1}: at 0 lies the secret itself")


def _alike(one: S, other: S) -> bool:
    return one.index == other.index and same_kind(one, other)


def same_kind(one: S, other: S) -> bool:
    """True if both shares are of the same field and, for vectors, of the same length."""
    return one.field == other.field and one.size == other.size


def _require_alike(one: S, other: S) -> None:
    if not _alike(one, other):
        raise PeerError(Refusal.SHARE_MISMATCH, f"shares {one!r} and {other!r} differ in holder, field or length and cannot be added")
