import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.sharing import FIELD, PrimeField, combine, deal, deal_integer, deal_scalar, integer_coefficients
from tests.support.refusals import refused

SIGNIFICANCE = 1e-4


class Scripted(SeededRandomness):
    """Gives out the octets it was made with, in order."""

    def __init__(self, script: bytes) -> None:
        super().__init__(b"")
        self._script = script

    def octets(self, count: int) -> bytes:
        taken, self._script = self._script[:count], self._script[count:]
        return taken


def test_integer_shares_are_the_values_of_the_drawn_polynomial():
    modulus, randomness = 10**30 + 57, SeededRandomness(b"polynomial")
    twin = SeededRandomness(b"polynomial")
    shares = deal_integer(123, threshold=3, members=4, modulus=modulus, randomness=randomness)
    linear, quadratic = twin.below(modulus), twin.below(modulus)
    assert shares == tuple((123 + linear * x + quadratic * x * x) % modulus for x in range(1, 5))


@pytest.mark.parametrize("quorum", [(1, 2, 3), (1, 2, 4), (1, 3, 4), (2, 3, 4)])
def test_integer_shares_open_without_knowing_the_modulus_they_were_dealt_under(quorum):
    modulus = 2**521 - 1
    shares = deal_integer(777, threshold=3, members=4, modulus=modulus, randomness=SeededRandomness(b"open"))
    opened = sum(c * shares[i - 1] for i, c in integer_coefficients(quorum, 4).items())
    assert opened % modulus == math.factorial(4) * 777


def test_a_threshold_of_one_hands_the_secret_to_everybody():
    assert deal_integer(9, threshold=1, members=3, modulus=11, randomness=SeededRandomness(b"")) == (9, 9, 9)
    assert [share.value for share in deal_scalar(-1, threshold=1, members=2, randomness=SeededRandomness(b""))] == [FIELD.modulus - 1] * 2


@pytest.mark.parametrize(("threshold", "members"), [(0, 3), (4, 3), (-1, 3)])
def test_impossible_committees_are_refused(threshold, members):
    for dealer in (
        lambda: deal_integer(1, threshold=threshold, members=members, modulus=101, randomness=SeededRandomness(b"")),
        lambda: deal([1], threshold=threshold, members=members, randomness=SeededRandomness(b"")),
        lambda: deal_scalar(1, threshold=threshold, members=members, randomness=SeededRandomness(b"")),
    ):
        with refused(Refusal.COMMITTEE_SIZE, LocalError):
            dealer()


def test_more_holders_than_the_field_has_points_are_refused():
    with refused(Refusal.COMMITTEE_SIZE, LocalError):
        deal([1], threshold=2, members=7, randomness=SeededRandomness(b""), field=PrimeField(7))


@pytest.mark.parametrize("secret", [-1, 101])
def test_an_integer_secret_outside_the_modulus_is_refused(secret):
    with refused(Refusal.FIELD_ELEMENT, LocalError):
        deal_integer(secret, threshold=2, members=3, modulus=101, randomness=SeededRandomness(b""))


@pytest.mark.parametrize("values", [[FIELD.largest + 1], [-FIELD.largest - 1], [0.5], [[1, 2]], [2**70], [True], np.zeros(2)])
def test_vectors_that_would_wrap_or_are_no_integers_are_refused(values):
    with refused(Refusal.FIELD_ELEMENT, LocalError):
        deal(values, threshold=2, members=3, randomness=SeededRandomness(b""))


@pytest.mark.parametrize("secret", [FIELD.largest + 1, -FIELD.largest - 1])
def test_scalars_that_would_wrap_are_refused(secret):
    with refused(Refusal.FIELD_ELEMENT, LocalError):
        deal_scalar(secret, threshold=2, members=3, randomness=SeededRandomness(b""))


def test_an_empty_vector_is_dealt_and_opened():
    shares = deal([], threshold=2, members=3, randomness=SeededRandomness(b""))
    assert combine({share.index: share for share in shares}, 2).shape == (0,)


def test_fewer_than_threshold_shares_say_nothing_exactly():
    """Over GF(5) with every possible draw: each two shares take each pair of values once, whatever the secret."""
    field, every = PrimeField(5), [(linear, quadratic) for linear in range(5) for quadratic in range(5)]
    seen = set()
    for secret in range(-2, 3):
        dealt = [
            deal([secret], threshold=3, members=4, randomness=Scripted(bytes([linear | quadratic << 3])), field=field)
            for linear, quadratic in every
        ]
        values = np.array([[int(share.values[0]) for share in shares] for shares in dealt])
        for one, other in combinations(range(4), 2):
            assert sorted(zip(values[:, one].tolist(), values[:, other].tolist(), strict=True)) == every
        seen.add(tuple(values[:, :3].reshape(-1).tolist()))
    assert len(seen) == 5


@pytest.mark.parametrize("secret", [0, 1, -83])
def test_each_share_and_each_pair_of_shares_looks_uniform_whatever_the_secret(secret):
    count, buckets = 40_000, 16
    shares = deal(np.full(count, secret), threshold=3, members=4, randomness=SeededRandomness(b"uniform"))
    cells = [share.values * buckets // FIELD.modulus for share in shares]
    for cell in cells:
        assert stats.chisquare(np.bincount(cell, minlength=buckets)).pvalue > SIGNIFICANCE
    for other in cells[1:]:
        assert stats.chisquare(np.bincount(cells[0] * buckets + other, minlength=buckets**2)).pvalue > SIGNIFICANCE


def test_the_chi_square_test_notices_coefficients_that_are_not_uniform():
    """Control: one bit missing from the coefficients' range, as reduction of short words would give."""
    count, buckets = 40_000, 16
    narrow = np.frombuffer(SeededRandomness(b"narrow").octets(4 * count), "<u4").astype(np.int64) % (FIELD.modulus // 2)
    counts = np.bincount((1 + narrow) * buckets // FIELD.modulus, minlength=buckets)
    assert stats.chisquare(counts).pvalue < SIGNIFICANCE


def test_words_above_the_modulus_are_rejected_not_reduced():
    """p = 17 packs to 5 bits: words 17 to 31 must be skipped, in order."""
    field, octets = PrimeField(17), bytes(range(7, 107))
    stream = int.from_bytes(octets[:25], "little")
    words = [(stream >> (5 * i)) & 31 for i in range(40)]
    kept = [word for word in words if word < 17]

    drawn = field.draw(40, Scripted(octets))
    assert 0 < len(kept) < 40
    assert drawn[: len(kept)].tolist() == kept
    assert drawn.size == 40
    assert drawn.max() < 17


def test_drawing_none_takes_no_randomness():
    assert FIELD.draw(0, SeededRandomness(b"")).shape == (0,)
