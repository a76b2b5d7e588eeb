import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hushfleet.errors import PeerError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.sharing import FIELD, VectorShare, add, combine, deal, deal_integer, integer_coefficients
from tests.support.refusals import refused

elements = st.integers(0, FIELD.modulus - 1)
committees = st.integers(1, 8).flatmap(lambda members: st.tuples(st.just(members), st.integers(1, members)))


@st.composite
def quorums(draw):
    """(members, threshold, at least `threshold` holders)."""
    members, threshold = draw(committees)
    count = draw(st.integers(threshold, members))
    return members, threshold, draw(st.permutations(range(1, members + 1)))[:count]


def dealt(secret, members, threshold, seed):
    return deal(secret, threshold=threshold, members=members, randomness=SeededRandomness(seed))


@given(quorums(), st.lists(st.integers(-FIELD.largest, FIELD.largest), max_size=5), st.binary(max_size=4))
def test_any_holders_in_any_order_open_what_was_dealt(quorum, secret, seed):
    members, threshold, holders = quorum
    shares = dealt(secret, members, threshold, seed)
    assert combine({index: shares[index - 1] for index in holders}, threshold).tolist() == secret


@given(quorums(), st.lists(st.integers(-1000, 1000), min_size=1, max_size=6), st.binary(max_size=4))
def test_adding_shares_adds_secrets(quorum, secrets, seed):
    members, threshold, holders = quorum
    sets = [dealt([secret], members, threshold, seed + bytes([number])) for number, secret in enumerate(secrets)]
    sums = {index: add(shares[index - 1] for shares in sets) for index in holders}
    assert combine(sums, threshold).tolist() == [sum(secrets)]


@given(committees.filter(lambda pair: pair[1] < pair[0]), st.data(), st.integers(1, FIELD.modulus - 1))
def test_an_alteration_shows_as_soon_as_one_share_more_than_needed_is_there(committee, data, shift):
    members, threshold = committee
    holders = data.draw(st.permutations(range(1, members + 1)))[: threshold + 1]
    shares = {index: dealt([1, 2], members, threshold, b"")[index - 1] for index in holders}
    victim = data.draw(st.sampled_from(holders))
    altered = shares[victim].plus(VectorShare(victim, np.array([0, shift])))
    with refused(Refusal.COMBINE_MISFIT, PeerError):
        combine({**shares, victim: altered}, threshold)


@given(st.lists(elements, max_size=40))
def test_packing_comes_back_and_is_as_long_as_promised(values):
    share = VectorShare(1, np.array(values, dtype=np.int64))
    data = share.to_bytes()
    assert len(data) == FIELD.packed_bytes(len(values))
    assert VectorShare.from_bytes(data, index=1, count=len(values)) == share


fitting = st.integers(0, 9).flatmap(
    lambda count: st.tuples(st.binary(min_size=FIELD.packed_bytes(count), max_size=FIELD.packed_bytes(count)), st.just(count))
)


@given(st.one_of(fitting, st.tuples(st.binary(max_size=24), st.integers(0, 9))))
def test_bytes_unpack_to_what_packs_to_them_or_are_refused(case):
    data, count = case
    outcome = read(data, count)
    assert outcome in {Refusal.MESSAGE_MALFORMED, Refusal.FIELD_ELEMENT} or outcome == data


def read(data, count):
    """The bytes of the share that `data` are, or why they are none."""
    try:
        return VectorShare.from_bytes(data, index=1, count=count).to_bytes()
    except PeerError as error:
        return error.reason


@given(quorums(), st.integers(1, 2**80), st.data())
def test_integer_shares_open_to_the_factorial_times_the_secret(quorum, modulus, data):
    members, threshold, holders = quorum
    modulus += members
    secret = data.draw(st.integers(0, modulus - 1))
    shares = deal_integer(secret, threshold=threshold, members=members, modulus=modulus, randomness=SeededRandomness(b"integers"))
    coefficients = integer_coefficients(holders, members)
    opened = sum(coefficients[index] * shares[index - 1] for index in holders)
    assert (opened - math.factorial(members) * secret) % modulus == 0
