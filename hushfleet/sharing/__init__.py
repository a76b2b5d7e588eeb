"""Shamir secret sharing: over the integers for the Paillier key, over a prime field for vectors and scalars.

`field`, `shares` and `interpolation` are public mathematics. The secret side, loaded only when named: `dealing` (integers, for
the vault) and `vectors` (vectors and scalars, for whoever owns them).
May import the ground floor only.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hushfleet.sharing.dealing import deal_integer
    from hushfleet.sharing.field import FIELD, PrimeField
    from hushfleet.sharing.interpolation import combine, combine_scalar, field_coefficients, integer_coefficients
    from hushfleet.sharing.shares import ScalarShare, VectorShare, add
    from hushfleet.sharing.vectors import deal, deal_scalar

__all__ = [
    "FIELD",
    "PrimeField",
    "ScalarShare",
    "VectorShare",
    "add",
    "combine",
    "combine_scalar",
    "deal",
    "deal_integer",
    "deal_scalar",
    "field_coefficients",
    "integer_coefficients",
]

_HOME = {
    "FIELD": "field",
    "PrimeField": "field",
    "ScalarShare": "shares",
    "VectorShare": "shares",
    "add": "shares",
    "combine": "interpolation",
    "combine_scalar": "interpolation",
    "deal": "vectors",
    "deal_integer": "dealing",
    "deal_scalar": "vectors",
    "field_coefficients": "interpolation",
    "integer_coefficients": "interpolation",
}


def __getattr__(name: str) -> object:
    """Load a public name from its module on first use, so that the public side never loads `dealing`."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
