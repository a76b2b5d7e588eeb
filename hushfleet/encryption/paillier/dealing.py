"""The dealer's side: primes, the key and its shares (PROTOCOL 3, dealing). Run offline, by the fleet owner only.

Python can drop the secrets but not overwrite them: p, q, p', q', m, d and the polynomial stay in freed memory until it is
used again, and the kernel may have swapped it. Deal on a machine that is switched off afterwards, or whose disk is encrypted.
"""

import itertools
from concurrent.futures import Executor
from dataclasses import dataclass

import gmpy2

from hushfleet.encryption.paillier.arithmetic import power, power_quiet
from hushfleet.encryption.paillier.key import LEAST_BITS, LEAST_INSECURE_BITS, PublicKey
from hushfleet.encryption.paillier.partials import open_one
from hushfleet.encryption.paillier.primes import Progress, is_safe_prime, safe_prime
from hushfleet.encryption.paillier.public import encrypt
from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.sharing.dealing import deal_integer

_LARGEST_F = 3


@dataclass(frozen=True, slots=True)
class Dealing:
    """A fresh public key and the shares of members 1..n. Seal each share to its member, then forget this."""

    public: PublicKey
    shares: tuple[KeyShare, ...]


def deal(
    bits: int,
    f: int,
    randomness: Randomness,
    *,
    primes: tuple[int, int] | None = None,
    insecure: bool = False,
    executor: Executor | None = None,
    on_progress: Progress | None = None,
) -> Dealing:
    """A key of `bits` bits for 3f+1 members of which 2f+1 are required, f in 1..3.

    `primes` only for tests and vectors: keys are dealt with fresh ones. `executor`: threads that search the two primes side
    by side; `randomness` and `on_progress` are then called from both. `insecure` allows 512 bit and more, for tests.
    Raises `LocalError`: `COMMITTEE_SIZE`, `KEY_TOO_SMALL`, `KEY_MALFORMED` (a check of the finished key failed).
    """
    _check_request(bits, f, insecure=insecure)
    secrets = _Secrets(*(primes or _prime_pair(bits, randomness, executor, on_progress)), bits)
    members, threshold = 3 * f + 1, 2 * f + 1
    values = deal_integer(secrets.d, threshold=threshold, members=members, modulus=secrets.m, randomness=randomness)
    h, v = _draw_bases(secrets, randomness)
    delta = gmpy2.fac(members)
    verification = tuple(int(power_quiet(v, delta * value, secrets.modulus)) for value in values)
    h_s = int(power(h, secrets.modulus, secrets.modulus**2))
    public = PublicKey(secrets.modulus, h_s, v, verification, insecure)
    check_every_quorum(public, values, randomness)
    return Dealing(public, tuple(KeyShare(index, value) for index, value in enumerate(values, start=1)))


class _Secrets:
    """The numbers that only the dealer knows, and only while dealing."""

    __slots__ = ("d", "m", "modulus", "p", "q")

    def __init__(self, p: int, q: int, bits: int) -> None:
        check_primes(p, q, bits)
        self.p, self.q, self.modulus = p, q, p * q
        self.m = (p - 1) // 2 * ((q - 1) // 2)
        self.d = int(gmpy2.invert(self.modulus, self.m))


def check_primes(p: int, q: int, bits: int) -> None:
    """`LocalError(KEY_MALFORMED)` unless p != q are safe primes of bits/2 bits, top two bits set, and gcd(N, m) = 1."""
    shape = p != q and all(prime.bit_length() == bits // 2 and prime >> (bits // 2 - 2) == 3 for prime in (p, q))
    safe = shape and is_safe_prime(p) and is_safe_prime(q)
    if not safe or (p * q).bit_length() != bits or gmpy2.gcd(p * q, (p - 1) // 2 * ((q - 1) // 2)) != 1:
        raise LocalError(Refusal.KEY_MALFORMED, f"not two different safe primes of {bits // 2} bit with their top two bits set")


def check_bases(h: int, v: int, p: int, q: int) -> None:
    """`LocalError(KEY_MALFORMED)` unless v has order m and h has order 2 m and Jacobi symbol 1 modulo N.

    A v of smaller order would let a share verify that differs modulo m; the symbol of an h with -1 would tell each r's parity.
    """
    half_p, half_q, n = (p - 1) // 2, (q - 1) // 2, p * q
    m = half_p * half_q
    if any(power_quiet(v, m // r, n) == 1 for r in (half_p, half_q)) or power_quiet(v, m, n) != 1:
        raise LocalError(Refusal.KEY_MALFORMED, "the verification base v does not generate the squares modulo N")
    if any(power_quiet(h, 2 * m // r, n) == 1 for r in (2, half_p, half_q)) or power_quiet(h, 2 * m, n) != 1 or gmpy2.jacobi(h, n) != 1:
        raise LocalError(Refusal.KEY_MALFORMED, "the hiding base h does not have full order")


def check_every_quorum(public: PublicKey, values: tuple[int, ...], randomness: Randomness) -> None:
    """`LocalError(KEY_MALFORMED)` unless every quorum of the shares opens a test ciphertext."""
    plaintext = randomness.below(public.modulus)
    ciphertext = encrypt(public, (plaintext,), randomness).ciphertexts[0]
    exponents = {index: 2 * public.delta * value for index, value in enumerate(values, start=1)}
    residue = ciphertext % public.modulus
    partials = {index: int(power_quiet(residue, exponent, public.modulus)) for index, exponent in exponents.items()}
    for quorum in itertools.combinations(partials, public.threshold):
        if not _opens(public, ciphertext, {index: partials[index] for index in quorum}, plaintext):
            raise LocalError(Refusal.KEY_MALFORMED, f"the members {quorum} do not decrypt a test ciphertext")


def _opens(public: PublicKey, ciphertext: int, partials: dict[int, int], plaintext: int) -> bool:
    try:
        return open_one(public, ciphertext, partials) == plaintext
    except PeerError:
        return False


def _check_request(bits: int, f: int, *, insecure: bool) -> None:
    if not 1 <= f <= _LARGEST_F:
        raise LocalError(Refusal.COMMITTEE_SIZE, f"f is 1, 2 or 3 (committees of 4, 7 or 10), not {f}")
    least = LEAST_INSECURE_BITS if insecure else LEAST_BITS
    if bits < least:
        raise LocalError(Refusal.KEY_TOO_SMALL, f"a key of {bits} bit, at least {least} are required")
    if bits % 16:
        raise LocalError(Refusal.KEY_MALFORMED, "the number of bits must be a multiple of 16")


def _prime_pair(bits: int, randomness: Randomness, executor: Executor | None, on_progress: Progress | None) -> tuple[int, int]:
    if executor is None:
        return safe_prime(bits // 2, randomness, on_progress), safe_prime(bits // 2, randomness, on_progress)
    searches = [executor.submit(safe_prime, bits // 2, randomness, on_progress) for _ in range(2)]
    return searches[0].result(), searches[1].result()


def _draw_bases(secrets: _Secrets, randomness: Randomness) -> tuple[int, int]:
    x, y = _unit(secrets.modulus, randomness), _unit(secrets.modulus, randomness)
    h, v = -x * x % secrets.modulus, y * y % secrets.modulus
    check_bases(h, v, secrets.p, secrets.q)
    return h, v


def _unit(modulus: int, randomness: Randomness) -> int:
    while True:
        candidate = randomness.below(modulus)
        if gmpy2.gcd(candidate, modulus) == 1:
            return candidate
