"""Opening what was shared: Lagrange coefficients, and the check that all shares agree (PROTOCOL 3, 4)."""

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TypeVar

import numpy as np

from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.sharing.field import FIELD, IntVector, PrimeField
from hushfleet.sharing.shares import ScalarShare, VectorShare, same_kind

V = TypeVar("V", int, IntVector)
S = TypeVar("S", VectorShare, ScalarShare)


def integer_coefficients(indices: Sequence[int], members: int) -> dict[int, int]:
    """lambda_i = members! * prod_{j != i} j / (j - i), an integer for each i: members! f(0) = sum lambda_i f(i) (PROTOCOL 3).

    Holds for every polynomial f of degree below `len(indices)`. Raises `PeerError(SHARE_INDEX)` for no index, one named twice,
    or one outside 1..members.
    """
    _check_indices(indices, members)
    delta = math.factorial(members)
    return {i: delta * math.prod(j for j in indices if j != i) // math.prod(j - i for j in indices if j != i) for i in indices}


def field_coefficients(indices: Sequence[int], field: PrimeField = FIELD, *, at: int = 0) -> dict[int, int]:
    """c_i in [0, p) with f(at) = sum c_i f(i) mod p for every polynomial f over the field of degree below `len(indices)`.

    Raises `PeerError(SHARE_INDEX)` for no index, one named twice, or one outside 1..p-1.
    """
    _check_indices(indices, field.modulus - 1)
    p = field.modulus
    return {i: math.prod(at - j for j in indices if j != i) * pow(math.prod(i - j for j in indices if j != i), -1, p) % p for i in indices}


def combine(shares: Mapping[int, VectorShare], threshold: int, field: PrimeField = FIELD) -> IntVector:
    """The shared vector, int64 `(d,)` in (-p/2, p/2), from at least `threshold` shares by holder index.

    Proves that all shares given lie on the same polynomials of degree threshold - 1; with exactly `threshold` shares that
    says nothing. Raises `LocalError(COMBINE_TOO_FEW)`; `PeerError`: `SHARE_FOR_ANOTHER` (a share under another holder's
    index), `SHARE_MISMATCH` (fields or lengths differ), `COMBINE_MISFIT` (no such polynomials; it does not say whose fault).
    """
    _check_set(shares, threshold, field)
    return field.lift(_open({index: share.values for index, share in shares.items()}, threshold, field))


def combine_scalar(shares: Mapping[int, ScalarShare], threshold: int, field: PrimeField = FIELD) -> int:
    """The shared scalar in (-p/2, p/2); everything else as in `combine`."""
    _check_set(shares, threshold, field)
    return field.lift_scalar(_open({index: share.value for index, share in shares.items()}, threshold, field))


def _open(values: Mapping[int, V], threshold: int, field: PrimeField) -> V:
    base = sorted(values)[:threshold]
    for further in sorted(values)[threshold:]:
        if not np.array_equal(_weighted(field_coefficients(base, field, at=further), values, field), values[further]):
            raise PeerError(
                Refusal.COMBINE_MISFIT,
                f"the shares of {sorted(values)} do not lie on the same polynomials of degree {threshold - 1}: "
                "one of these holders, or whoever dealt it a share, is wrong",
            )
    return _weighted(field_coefficients(base, field), values, field)


def _weighted(coefficients: Mapping[int, int], values: Mapping[int, V], field: PrimeField) -> V:
    # Reduced after every product: two elements of a vector field multiply to less than 2^62.
    terms = [coefficient * values[index] % field.modulus for index, coefficient in coefficients.items()]
    return reduce(lambda one, other: (one + other) % field.modulus, terms)


def _check_indices(indices: Sequence[int], largest: int) -> None:
    if not indices or len(set(indices)) != len(indices) or not all(1 <= index <= largest for index in indices):
        raise PeerError(Refusal.SHARE_INDEX, f"{list(indices)} are not distinct share indices in 1..{largest}")


def _check_set(shares: Mapping[int, S], threshold: int, field: PrimeField) -> None:
    if threshold < 1 or len(shares) < threshold:
        raise LocalError(Refusal.COMBINE_TOO_FEW, f"{len(shares)} shares, {threshold} are needed")
    first = next(iter(shares.values()))
    for index, share in shares.items():
        if share.index != index:
            raise PeerError(Refusal.SHARE_FOR_ANOTHER, f"the share given for holder {index} belongs to holder {share.index}")
        if share.field != field or not same_kind(share, first):
            raise PeerError(Refusal.SHARE_MISMATCH, f"share {index} is of another field or length than the others")
