"""Dealing vectors and scalars over a prime field. Secret side: only whoever owns the values loads this, a device for its own."""

from collections.abc import Sequence

import numpy as np

from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.sharing.field import FIELD, IntVector, PrimeField, check_holders, evaluate
from hushfleet.sharing.shares import ScalarShare, VectorShare


def deal_scalar(secret: int, *, threshold: int, members: int, randomness: Randomness, field: PrimeField = FIELD) -> tuple[ScalarShare, ...]:
    """Shares of one signed integer in (-p/2, p/2), for holders 1..members; any `threshold` open it, fewer say nothing.

    Raises `LocalError`: `COMMITTEE_SIZE`, `FIELD_ELEMENT` (a secret that would wrap).
    """
    check_holders(threshold, members, field.modulus)
    if abs(secret) > field.largest:
        raise LocalError(Refusal.FIELD_ELEMENT, f"the secret does not lie within +-{field.largest}")
    coefficients = [secret % field.modulus, *(randomness.below(field.modulus) for _ in range(threshold - 1))]
    return tuple(ScalarShare(x, evaluate(coefficients, x, field.modulus), field) for x in range(1, members + 1))


def deal(
    values: Sequence[int] | IntVector, *, threshold: int, members: int, randomness: Randomness, field: PrimeField = FIELD
) -> tuple[VectorShare, ...]:
    """Shares of a vector of signed integers `(d,)` in (-p/2, p/2), for holders 1..members (PROTOCOL 4).

    One fresh polynomial of degree threshold - 1 per coordinate; any `threshold` shares open the vector, fewer say nothing.
    Sums of shares are shares of the sum while that stays in (-p/2, p/2). Raises `LocalError`: `COMMITTEE_SIZE`,
    `FIELD_ELEMENT` (not integers, or one that would wrap), `SETTINGS_INVALID` (a field too large for vectors).
    """
    check_holders(threshold, members, field.modulus)
    field.check_vectors()
    constant = _signed_vector(values, field)
    drawn = field.draw((threshold - 1) * constant.size, randomness).reshape(threshold - 1, constant.size)
    coefficients = [constant % field.modulus, *drawn]
    return tuple(VectorShare(x, evaluate(coefficients, x, field.modulus), field) for x in range(1, members + 1))


def _signed_vector(values: Sequence[int] | IntVector, field: PrimeField) -> IntVector:
    given = np.asarray(values)
    if given.ndim != 1 or (given.size and (given.dtype.kind not in "iu" or np.any((given > field.largest) | (given < -field.largest)))):
        raise LocalError(Refusal.FIELD_ELEMENT, f"the values are not a vector of integers within +-{field.largest}")
    return given.astype(np.int64)
