"""The secret side of sharing: drawing polynomials. Only a dealer (the vault, or a device for its own mask key) loads this."""

from collections.abc import Sequence

import numpy as np

from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.sharing.field import FIELD, IntVector, PrimeField
from hushfleet.sharing.shares import ScalarShare, VectorShare


def deal_integer(secret: int, *, threshold: int, members: int, modulus: int, randomness: Randomness) -> tuple[int, ...]:
    """f(1), .., f(members) mod `modulus` for a fresh f of degree threshold - 1 with f(0) = secret (PROTOCOL 3, dealing).

    Coefficients are uniform in [0, modulus). Opened with `integer_coefficients`, which never needs the modulus.
    Every value returned is as secret as its holder's key. Raises `LocalError`: `COMMITTEE_SIZE`, `FIELD_ELEMENT`.
    """
    _check_committee(threshold, members, modulus)
    if not 0 <= secret < modulus:
        raise LocalError(Refusal.FIELD_ELEMENT, "the secret must lie in [0, modulus)")
    coefficients = [int(secret), *(randomness.below(modulus) for _ in range(threshold - 1))]
    return tuple(_evaluate(coefficients, x, modulus) for x in range(1, members + 1))


def deal_scalar(
    secret: int, *, threshold: int, members: int, randomness: Randomness, field: PrimeField = FIELD
) -> tuple[ScalarShare, ...]:
    """Shares of one signed integer in (-p/2, p/2), for holders 1..members; any `threshold` open it, fewer say nothing.

    Raises `LocalError`: `COMMITTEE_SIZE`, `FIELD_ELEMENT` (a secret that would wrap).
    """
    if abs(secret) > field.largest:
        raise LocalError(Refusal.FIELD_ELEMENT, f"the secret does not lie within +-{field.largest}")
    modulus = field.modulus
    values = deal_integer(secret % modulus, threshold=threshold, members=members, modulus=modulus, randomness=randomness)
    return tuple(ScalarShare(index, value, field) for index, value in enumerate(values, start=1))


def deal(
    values: Sequence[int] | IntVector, *, threshold: int, members: int, randomness: Randomness, field: PrimeField = FIELD
) -> tuple[VectorShare, ...]:
    """Shares of a vector of signed integers `(d,)` in (-p/2, p/2), for holders 1..members (PROTOCOL 4, `shared`).

    One fresh polynomial of degree threshold - 1 per coordinate; any `threshold` shares open the vector, fewer say nothing.
    Sums of shares are shares of the sum while that stays in (-p/2, p/2). Raises `LocalError`: `COMMITTEE_SIZE`,
    `FIELD_ELEMENT` (not integers, or one that would wrap), `SETTINGS_INVALID` (a field too large for vectors).
    """
    _check_committee(threshold, members, field.modulus)
    field.check_vectors()
    constant = _signed_vector(values, field)
    drawn = field.draw((threshold - 1) * constant.size, randomness).reshape(threshold - 1, constant.size)
    coefficients = [constant % field.modulus, *drawn]
    return tuple(VectorShare(x, _evaluate_vector(coefficients, x, field.modulus), field) for x in range(1, members + 1))


def _signed_vector(values: Sequence[int] | IntVector, field: PrimeField) -> IntVector:
    given = np.asarray(values)
    if given.ndim != 1 or (given.size and (given.dtype.kind not in "iu" or np.any((given > field.largest) | (given < -field.largest)))):
        raise LocalError(Refusal.FIELD_ELEMENT, f"the values are not a vector of integers within +-{field.largest}")
    return given.astype(np.int64)


def _evaluate(coefficients: Sequence[int], x: int, modulus: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % modulus
    return value


def _evaluate_vector(coefficients: Sequence[IntVector], x: int, modulus: int) -> IntVector:
    value = np.zeros_like(coefficients[0])
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % modulus
    return value


def _check_committee(threshold: int, members: int, modulus: int) -> None:
    if not 1 <= threshold <= members < modulus:
        raise LocalError(Refusal.COMMITTEE_SIZE, f"a threshold of {threshold} among {members} holders modulo {modulus} cannot be dealt")
