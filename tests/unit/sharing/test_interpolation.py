import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.sharing import (
    FIELD,
    PrimeField,
    ScalarShare,
    VectorShare,
    combine,
    combine_scalar,
    deal,
    deal_scalar,
    field_coefficients,
    integer_coefficients,
)
from tests.support.refusals import refused

COMMITTEES = [(4, 3), (7, 5), (10, 7)]


def dealt(values, members=4, threshold=3, seed=b"interpolation"):
    return {share.index: share for share in deal(values, threshold=threshold, members=members, randomness=SeededRandomness(seed))}


def with_value(share, position, value):
    values = share.values.copy()
    values[position] = value
    return VectorShare(share.index, values, share.field)


@pytest.mark.parametrize(("members", "threshold"), COMMITTEES)
def test_integer_coefficients_are_those_of_lagrange_at_zero(members, threshold):
    for quorum in combinations(range(1, members + 1), threshold):
        lagrange = {i: math.prod((Fraction(j, j - i) for j in quorum if j != i), start=Fraction(1)) for i in quorum}
        assert integer_coefficients(quorum, members) == {i: math.factorial(members) * value for i, value in lagrange.items()}


@pytest.mark.parametrize("indices", [(), (1, 2, 2), (0, 1, 2), (-1, 1), (1, 2, 5)])
def test_integer_coefficients_refuse_what_is_no_set_of_members(indices):
    with refused(Refusal.SHARE_INDEX, PeerError):
        integer_coefficients(indices, 4)


@pytest.mark.parametrize("at", [0, 3, 11])
def test_field_coefficients_interpolate_every_monomial(at):
    indices = (1, 4, 6, 9)
    coefficients = field_coefficients(indices, FIELD, at=at)
    for degree in range(len(indices)):
        assert sum(c * pow(i, degree) for i, c in coefficients.items()) % FIELD.modulus == pow(at, degree)


@pytest.mark.parametrize("indices", [(), (3, 3), (0, 1), (1, 7)])
def test_field_coefficients_refuse_repeated_and_impossible_indices(indices):
    with refused(Refusal.SHARE_INDEX, PeerError):
        field_coefficients(indices, PrimeField(7))


@pytest.mark.parametrize(("members", "threshold"), COMMITTEES)
def test_every_quorum_opens_the_same_vector(members, threshold):
    secret = np.array([0, 1, -1, FIELD.largest, -FIELD.largest, 83 * 2800], dtype=np.int64)
    shares = dealt(secret, members, threshold)
    for quorum in combinations(shares, threshold):
        assert np.array_equal(combine({i: shares[i] for i in quorum}, threshold), secret)
    assert np.array_equal(combine(shares, threshold), secret)


def test_opening_agrees_with_a_search_through_all_polynomials():
    p = 31
    field = PrimeField(p)
    dealt = deal([7, -12], threshold=3, members=5, randomness=SeededRandomness(b"search"), field=field)
    shares = {share.index: share for share in dealt if share.index in (1, 3, 5)}
    for position, secret in enumerate(combine(shares, 3, field).tolist()):
        points = [(index, int(share.values[position])) for index, share in shares.items()]
        assert [candidate for candidate in range(p) if _polynomial_exists(candidate, points, p)] == [secret % p]


def _polynomial_exists(secret, points, p):
    """Whether some f = secret + b x + c x^2 mod p goes through all points, by trying every b and c."""
    return any(all((secret + b * x + c * x * x) % p == y for x, y in points) for b in range(p) for c in range(p))


def test_a_single_altered_share_beyond_the_threshold_is_noticed_wherever_it_is():
    shares = dealt([5, 6, 7])
    for index, share in shares.items():
        for position in range(3):
            altered = with_value(share, position, (int(share.values[position]) + 1) % FIELD.modulus)
            with refused(Refusal.COMBINE_MISFIT, PeerError):
                combine({**shares, index: altered}, 3)


def test_exactly_threshold_shares_cannot_show_an_alteration():
    shares = dealt([5, 6, 7])
    altered = with_value(shares[1], 0, (int(shares[1].values[0]) + 1) % FIELD.modulus)
    assert combine({1: altered, 2: shares[2], 3: shares[3]}, 3).tolist() != [5, 6, 7]


def test_scalars_open_and_an_altered_one_is_noticed():
    shares = {share.index: share for share in deal_scalar(-42, threshold=3, members=4, randomness=SeededRandomness(b"scalar"))}
    assert combine_scalar(shares, 3) == -42
    assert combine_scalar({i: shares[i] for i in (1, 2, 4)}, 3) == -42
    with refused(Refusal.COMBINE_MISFIT, PeerError):
        combine_scalar({**shares, 4: ScalarShare(4, (shares[4].value + 1) % FIELD.modulus)}, 3)


def test_scalars_live_in_large_fields_too():
    field, secret = PrimeField(2**255 - 19), -(2**200)
    shares = deal_scalar(secret, threshold=2, members=3, randomness=SeededRandomness(b"large"), field=field)
    assert combine_scalar({share.index: share for share in shares[1:]}, 2, field) == secret


@pytest.mark.parametrize("threshold", [0, 5])
def test_too_few_shares_are_refused(threshold):
    with refused(Refusal.COMBINE_TOO_FEW, LocalError):
        combine(dealt([1]), threshold)


def test_a_share_under_another_index_is_refused():
    shares = dealt([1])
    with refused(Refusal.SHARE_FOR_ANOTHER, PeerError):
        combine({1: shares[2], 2: shares[1], 3: shares[3]}, 3)


def test_shares_of_different_lengths_or_fields_are_refused():
    shares, longer = dealt([1]), dealt([1, 2])
    with refused(Refusal.SHARE_MISMATCH, PeerError):
        combine({**shares, 2: longer[2]}, 3)
    with refused(Refusal.SHARE_MISMATCH, PeerError):
        combine(shares, 3, PrimeField(101))
