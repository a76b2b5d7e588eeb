"""Safe primes by a window sieve. The dealer's alone: whoever sees this work sees the factors of N."""

from collections.abc import Callable
from functools import cache

import gmpy2
import numpy as np
import numpy.typing as npt
from gmpy2 import mpz

from hushfleet.encryption.paillier.arithmetic import power
from hushfleet.randomness import Randomness

PRIMALITY_ROUNDS = 40
_WINDOW = 1 << 20
_SIEVED_BELOW = 1 << 17
_PROGRESS_EVERY = 64
_LEAST_BITS = 64

Progress = Callable[[int], None]


def is_safe_prime(value: int) -> bool:
    """True if `value` and (value - 1) / 2 are prime, but for an error far below 2^-80."""
    return bool(gmpy2.is_prime(value, PRIMALITY_ROUNDS)) and bool(gmpy2.is_prime((value - 1) // 2, PRIMALITY_ROUNDS))


def safe_prime(bits: int, randomness: Randomness, on_progress: Progress | None = None) -> int:
    """A prime p of exactly `bits` bits, its top two set, with (p-1)/2 prime too: the first such one after a random start.

    `on_progress` hears how many candidates were tried, every 64 of them, in the calling thread. 1536 bit take seconds.
    ValueError below 64 bit.
    """
    if bits < _LEAST_BITS:
        raise ValueError(f"the sieve finds primes of {_LEAST_BITS} bit and more")
    tried = 0
    while True:
        start = mpz(randomness.bits(bits - 1)) | (3 << (bits - 3)) | 1
        for offset in np.flatnonzero(_survivors(start)):
            half = start + 2 * int(offset)
            tried += 1
            if on_progress and tried % _PROGRESS_EVERY == 0:
                on_progress(tried)
            if half.bit_length() == bits - 1 and _both_prime(half):
                return int(2 * half + 1)


@cache
def _odd_primes() -> list[int]:
    alive = np.ones(_SIEVED_BELOW, dtype=bool)
    alive[:2] = False
    for number in range(2, int(_SIEVED_BELOW**0.5) + 1):
        alive[number * number :: number] = False
    return [int(prime) for prime in np.flatnonzero(alive)[1:]]


def _survivors(start: mpz) -> npt.NDArray[np.bool_]:
    """For k < 2^20, whether neither start + 2k nor 2 (start + 2k) + 1 has a prime factor below 2^17."""
    alive = np.ones(_WINDOW, dtype=bool)
    for prime in _odd_primes():
        half = (prime + 1) // 2
        residue = int(start % prime)
        alive[-residue * half % prime :: prime] = False
        alive[-(2 * residue + 1) * half * half % prime :: prime] = False
    return alive


def _both_prime(half: mpz) -> bool:
    whole = 2 * half + 1
    # One cheap Fermat test each rejects nearly every candidate before the thorough ones.
    return bool(power(2, half - 1, half) == 1 and power(2, whole - 1, whole) == 1) and is_safe_prime(whole)
