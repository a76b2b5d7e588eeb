"""Powers of a base that stays the same for the life of a key (Lim and Lee's comb).

Table look-ups depend on the exponent: what shares a cache with this process may learn about it. Committee secrets
never pass through here; encryption randomness does (stated in the threat model).
"""

from functools import lru_cache

from gmpy2 import mpz

from hushfleet.encryption.paillier.arithmetic import power

_TEETH = 8
_TABLES = 4
_CACHED_BASES = 4


class FixedBase:
    """A table of 1,024 products for one (base, modulus); at 3072 bit it takes 0.8 MB."""

    __slots__ = ("_beyond", "_block", "_modulus", "_tables", "capacity")

    def __init__(self, base: int, modulus: int, bits: int) -> None:
        self._modulus = mpz(modulus)
        self._block = max(1, -(-bits // (_TEETH * _TABLES)))
        self.capacity = self._block * _TEETH * _TABLES
        spaced = self._spaced_powers(mpz(base) % self._modulus)
        self._beyond = spaced.pop()
        self._tables = [self._products(spaced[table::_TABLES]) for table in range(_TABLES)]

    def power(self, exponent: int) -> mpz:
        """`base ** exponent mod modulus`, `exponent` >= 0; fast up to `capacity` bits, right beyond."""
        if exponent >> self.capacity:
            low = exponent & ((1 << self.capacity) - 1)
            return self.power(low) * power(self._beyond, exponent >> self.capacity, self._modulus) % self._modulus
        digits = self._digits(exponent)
        result, modulus, block = mpz(1), self._modulus, self._block
        for position in range(block - 1, -1, -1):
            result = result * result % modulus
            for table, entries in enumerate(self._tables):
                result = result * entries[digits[block * table + position]] % modulus
        return result

    def _digits(self, exponent: int) -> list[int]:
        """Column k collects the bits k, k + span, k + 2 span, .. of the exponent, lowest tooth first."""
        span = self._block * _TABLES
        bits = f"{int(exponent):0{self.capacity}b}"
        rows = [bits[start : start + span] for start in range(0, self.capacity, span)]
        return [int("".join(column), 2) for column in zip(*rows, strict=True)][::-1]

    def _spaced_powers(self, base: mpz) -> list[mpz]:
        """The powers base ** (2 ** (block * k)) for k = 0 .. teeth * tables."""
        powers = [base]
        for _ in range(_TEETH * _TABLES):
            value = powers[-1]
            for _ in range(self._block):
                value = value * value % self._modulus
            powers.append(value)
        return powers

    def _products(self, teeth: list[mpz]) -> list[mpz]:
        """All 256 products of a subset of the teeth, indexed by the subset's bits."""
        entries = [mpz(1)]
        for tooth in teeth:
            entries += [entry * tooth % self._modulus for entry in entries]
        return entries


@lru_cache(maxsize=_CACHED_BASES)
def fixed_base(base: int, modulus: int, bits: int) -> FixedBase:
    """The table for `base`, made once per process while it stays among the last four used."""
    return FixedBase(base, modulus, bits)
