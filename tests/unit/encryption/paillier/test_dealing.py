import itertools
from concurrent.futures import ThreadPoolExecutor

import gmpy2
import pytest

from hushfleet.encryption.paillier import dealing as dealing_module
from hushfleet.encryption.paillier.dealing import check_bases, check_every_quorum, check_primes, deal
from hushfleet.encryption.paillier.primes import safe_prime
from hushfleet.encryption.paillier.public import encrypt
from hushfleet.encryption.paillier.secret import check_share
from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import SeededRandomness, SystemRandomness
from hushfleet.sharing.dealing import deal_integer
from hushfleet.sharing.interpolation import integer_coefficients
from tests.support.keys import load
from tests.support.paillier import Watched, phe_decrypt
from tests.support.refusals import refused

TEST = load("insecure-512")
P, Q, N = TEST.p, TEST.q, TEST.public.modulus
M = (P - 1) * (Q - 1) // 4


def dealt(f=1, seed=b"dealing"):
    return deal(512, f, SeededRandomness(seed), primes=(P, Q), insecure=True)


@pytest.mark.parametrize("f", [1, 2, 3])
def test_a_dealt_key_has_its_committee_and_every_quorum_shares_the_secret(f):
    dealing = dealt(f)
    public = dealing.public
    assert (public.members, public.threshold, len(dealing.shares)) == (3 * f + 1, 2 * f + 1, 3 * f + 1)
    for share in dealing.shares:
        check_share(public, share)
    for quorum in itertools.islice(itertools.combinations(dealing.shares, public.threshold), 12):
        coefficients = integer_coefficients([share.index for share in quorum], public.members)
        opened = sum(coefficients[share.index] * share.value for share in quorum)
        assert opened * N % M == public.delta % M


def test_dealing_depends_on_its_randomness_only():
    assert dealt() == dealt()
    assert dealt(seed=b"other") != dealt()


def test_phe_opens_what_is_encrypted_under_a_dealt_key():
    assert phe_decrypt(TEST, encrypt(dealt().public, (99,), SystemRandomness()).ciphertexts) == (99,)


def test_fresh_primes_are_searched_on_threads():
    with ThreadPoolExecutor(2) as executor:
        public = deal(512, 1, SystemRandomness(), insecure=True, executor=executor).public
    assert public.bits == 512
    assert public.modulus != deal(512, 1, SystemRandomness(), insecure=True).public.modulus


@pytest.mark.parametrize("bits", [64, 256, 384])
def test_safe_primes(bits):
    heard = []
    prime = safe_prime(bits, SeededRandomness(b"prime"), heard.append)
    assert prime >> (bits - 2) == 3
    assert gmpy2.is_prime(prime, 60)
    assert gmpy2.is_prime(prime // 2, 60)
    assert prime == safe_prime(bits, SeededRandomness(b"prime"))
    assert heard == [64 * (step + 1) for step in range(len(heard))]


def test_a_search_that_runs_past_the_length_starts_anew():
    randomness = Watched(bits_given=[(1 << 63) - 1])
    assert safe_prime(64, randomness).bit_length() == 64
    assert len(randomness.bits_asked) > 1


def test_progress_is_heard():
    heard = []
    safe_prime(768, SeededRandomness(b"progress 2"), heard.append)
    assert heard


def test_the_sieve_refuses_lengths_it_would_search_forever():
    with pytest.raises(ValueError, match="64"):
        safe_prime(63, SystemRandomness())


@pytest.mark.parametrize("f", [-1, 0, 4])
def test_other_committees_are_not_dealt(f):
    with refused(Refusal.COMMITTEE_SIZE, LocalError):
        deal(3072, f, SystemRandomness())


@pytest.mark.parametrize(("bits", "insecure"), [(2032, False), (512, False), (496, True)])
def test_small_keys_are_not_dealt(bits, insecure):
    with refused(Refusal.KEY_TOO_SMALL, LocalError):
        deal(bits, 1, SystemRandomness(), insecure=insecure)


def test_lengths_that_do_not_split_into_whole_bytes_are_not_dealt():
    with refused(Refusal.KEY_MALFORMED, LocalError):
        deal(3080, 1, SystemRandomness())


def prime_with(bits, top):
    """A safe prime of `bits` bits whose top two bits are `top`."""
    half = gmpy2.next_prime((top << (bits - 3)) + (1 << (bits - 5)))
    while not gmpy2.is_prime(2 * half + 1):
        half = gmpy2.next_prime(half)
    return int(2 * half + 1)


@pytest.mark.parametrize(
    "primes",
    [
        (P, P),
        (P, 4 * Q + 3),
        (P, int(gmpy2.next_prime(Q))),
        (P, Q + 2),
        (prime_with(256, 2), Q),
        (prime_with(248, 3), Q),
        (prime_with(264, 3), prime_with(248, 3)),
    ],
    ids=["equal", "too long", "not safe", "not prime", "second bit clear", "too short", "unequal lengths"],
)
def test_unfit_primes_are_refused(primes):
    check_primes(P, Q, 512)
    with refused(Refusal.KEY_MALFORMED, LocalError):
        check_primes(*primes, 512)
    with refused(Refusal.KEY_MALFORMED, LocalError):
        deal(512, 1, SystemRandomness(), primes=primes, insecure=True)


GOOD_H, GOOD_V = -9 % N, 25


@pytest.mark.parametrize(
    "v",
    [
        1,
        pow(GOOD_V, P // 2, N),
        pow(GOOD_V, Q // 2, N),
        N - GOOD_V,
    ],
    ids=["one", "no p' part", "no q' part", "not a square"],
)
def test_a_v_of_lesser_order_is_refused(v):
    check_bases(GOOD_H, GOOD_V, P, Q)
    with refused(Refusal.KEY_MALFORMED, LocalError):
        check_bases(GOOD_H, v, P, Q)


TELLTALE = (-25 * Q * pow(Q, -1, P) + 25 * P * pow(P, -1, Q)) % N
"""A square modulo q and none modulo p, of order 2m: its Jacobi symbol is -1."""


@pytest.mark.parametrize(
    "h",
    [1, N - 1, 9, pow(GOOD_H, P // 2, N), pow(GOOD_H, Q // 2, N), TELLTALE],
    ids=["one", "minus one", "a square", "no p' part", "no q' part", "a symbol that tells the parity of r"],
)
def test_an_h_of_lesser_order_is_refused(h):
    with refused(Refusal.KEY_MALFORMED, LocalError):
        check_bases(h, GOOD_V, P, Q)


class Unlucky(SeededRandomness):
    """Draws a good unit for h, and for v one whose square has no part of order p'."""

    def __init__(self, seed) -> None:
        super().__init__(seed)
        self.units = 0

    def below(self, bound):
        drawn = super().below(bound)
        self.units += bound == N
        return pow(drawn, P // 2, N) if self.units > 1 else drawn


def test_a_drawn_v_of_lesser_order_stops_the_dealing():
    with refused(Refusal.KEY_MALFORMED, LocalError):
        deal(512, 1, Unlucky(b"unlucky"), primes=(P, Q), insecure=True)


def test_a_polynomial_that_went_wrong_stops_the_dealing(monkeypatch):
    def wrong(secret, **settings: object):
        return deal_integer((secret + 1) % M, **settings)

    monkeypatch.setattr(dealing_module, "deal_integer", wrong)
    with refused(Refusal.KEY_MALFORMED, LocalError):
        dealt()


@pytest.mark.parametrize("wrong", range(4))
def test_one_wrong_share_fails_the_test_decryption(wrong):
    values = [share.value for share in TEST.shares]
    check_every_quorum(TEST.public, tuple(values), SystemRandomness())
    values[wrong] += 1
    with refused(Refusal.KEY_MALFORMED, LocalError):
        check_every_quorum(TEST.public, tuple(values), SystemRandomness())
