"""Dealing an integer, the Paillier key above all. Secret side: only the vault loads this; devices deal with `vectors`."""

from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.sharing.field import check_holders, evaluate


def deal_integer(secret: int, *, threshold: int, members: int, modulus: int, randomness: Randomness) -> tuple[int, ...]:
    """f(1), .., f(members) mod `modulus` for a fresh f of degree threshold - 1 with f(0) = secret (PROTOCOL 3, dealing).

    Coefficients are uniform in [0, modulus). Opened with `integer_coefficients`, which never needs the modulus.
    Every value returned is as secret as its holder's key. Raises `LocalError`: `COMMITTEE_SIZE`, `FIELD_ELEMENT`.
    """
    check_holders(threshold, members, modulus)
    if not 0 <= secret < modulus:
        raise LocalError(Refusal.FIELD_ELEMENT, "the secret must lie in [0, modulus)")
    coefficients = [int(secret), *(randomness.below(modulus) for _ in range(threshold - 1))]
    return tuple(evaluate(coefficients, x, modulus) for x in range(1, members + 1))
