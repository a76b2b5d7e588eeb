"""Modular arithmetic on large integers, through gmpy2.

The two powers release the interpreter lock, so threads of an executor run them side by side.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import gmpy2
from gmpy2 import mpz

_LARGEST_WINDOW = 12


@contextmanager
def _without_interpreter_lock() -> Iterator[None]:
    # A borrowed context: an application's own gmpy2 settings stay as they were.
    with gmpy2.context(gmpy2.get_context(), allow_release_gil=True):
        yield


def power(base: int, exponent: int, modulus: int) -> mpz:
    """`base ** exponent mod modulus` for public exponents, negative ones too. ZeroDivisionError if an inverse is missing."""
    with _without_interpreter_lock():
        return gmpy2.powmod(base, exponent, modulus)


def power_quiet(base: int, exponent: int, modulus: int) -> mpz:
    """`base ** exponent mod modulus` for secret exponents: time and memory access depend on the exponent's length only.

    `exponent` >= 1, `modulus` odd.
    """
    with _without_interpreter_lock():
        return gmpy2.powmod_sec(base, exponent, modulus)


def first_no_ciphertext(values: Sequence[int], modulus: int) -> int | None:
    """Position of the first value that is not a unit with 1 < value < modulus^2 (PROTOCOL 3, acceptance), None if there is none."""
    return _first_no_unit(values, modulus, 2, modulus**2)


def first_no_root(values: Sequence[int], modulus: int) -> int | None:
    """Position of the first value that is not a unit with 1 <= value < modulus (PROTOCOL 3, acceptance), None if there is none."""
    return _first_no_unit(values, modulus, 1, modulus)


def _first_no_unit(values: Sequence[int], modulus: int, least: int, end: int) -> int | None:
    # One gcd for all: a product is a unit exactly when every factor is.
    n, product = mpz(modulus), mpz(1)
    for position, value in enumerate(values):
        if not least <= value < end:
            return position
        product = product * (value % n) % n
    if gmpy2.gcd(product, n) == 1:
        return None
    return next(position for position, value in enumerate(values) if gmpy2.gcd(value, n) != 1)


def product_of_powers(bases: Sequence[int], exponents: Sequence[int], modulus: int) -> mpz:
    """The product of all bases[k] ** exponents[k] mod modulus, for public exponents >= 0, by Pippenger's buckets."""
    longest = max((exponent.bit_length() for exponent in exponents), default=0)
    window = min(range(1, _LARGEST_WINDOW + 1), key=lambda width: -(-longest // width) * (len(bases) + 2 ** (width + 1)))
    n, mask, result = mpz(modulus), (1 << window) - 1, mpz(1)
    numbers = [mpz(base) for base in bases]
    for shift in range((-(-longest // window) - 1) * window, -1, -window):
        for _ in range(window if result != 1 else 0):
            result = result * result % n
        result = result * _sum_of_buckets(numbers, [(exponent >> shift) & mask for exponent in exponents], mask, n) % n
    return result % n


def _sum_of_buckets(numbers: Sequence[mpz], digits: Sequence[int], largest: int, modulus: mpz) -> mpz:
    """The product of all numbers[k] ** digits[k]: numbers of equal digit are multiplied first, then each bucket counts digit times."""
    buckets: list[mpz | None] = [None] * (largest + 1)
    for number, digit in zip(numbers, digits, strict=True):
        held = buckets[digit]
        buckets[digit] = number if held is None or not digit else held * number % modulus
    running, total = mpz(1), mpz(1)
    for held in buckets[:0:-1]:
        if held is not None:
            running = running * held % modulus
        if running != 1:
            total = total * running % modulus
    return total
