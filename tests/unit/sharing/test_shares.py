import copy
import pickle

import numpy as np
import pytest

from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.sharing import FIELD, PrimeField, ScalarShare, VectorShare, add, combine, combine_scalar, deal, deal_scalar
from tests.support.refusals import refused

HIGHEST = FIELD.modulus - 1


def test_2048_values_take_5120_bytes_and_come_back():
    share = VectorShare(3, FIELD.draw(2048, SeededRandomness(b"pack")))
    data = share.to_bytes()
    assert len(data) == 5_120
    assert VectorShare.from_bytes(data, index=3, count=2048) == share


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_packing_is_twenty_bits_each_least_significant_first(count):
    values = FIELD.draw(count, SeededRandomness(b"layout"))
    whole = sum(int(value) << (20 * position) for position, value in enumerate(values))
    assert VectorShare(1, values).to_bytes() == whole.to_bytes((20 * count + 7) // 8, "little")


@pytest.mark.parametrize("length", [0, 4, 6])
def test_a_wrong_length_is_refused(length):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        VectorShare.from_bytes(bytes(length), index=1, count=2)


def test_bits_after_the_last_element_are_refused():
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        VectorShare.from_bytes(bytes([0, 0, 0x10]), index=1, count=1)
    assert VectorShare.from_bytes(bytes([0, 0, 0x0F]), index=1, count=1).values.tolist() == [0xF0000]


def test_words_of_p_and_above_are_refused_when_unpacked():
    for word in range(FIELD.modulus, 1 << 20):
        with refused(Refusal.FIELD_ELEMENT, PeerError):
            VectorShare.from_bytes(word.to_bytes(3, "little"), index=1, count=1)
    assert VectorShare.from_bytes(HIGHEST.to_bytes(3, "little"), index=1, count=1).values.tolist() == [HIGHEST]


@pytest.mark.parametrize("values", [[FIELD.modulus], [-1], [0.0], [[1]], [True]])
def test_a_vector_share_holds_field_elements_only(values):
    with refused(Refusal.FIELD_ELEMENT, PeerError):
        VectorShare(1, np.array(values))


@pytest.mark.parametrize("value", [-1, FIELD.modulus])
def test_a_scalar_share_is_a_field_element(value):
    with refused(Refusal.FIELD_ELEMENT, PeerError):
        ScalarShare(1, value)


@pytest.mark.parametrize("index", [0, -1, FIELD.modulus])
def test_indices_where_no_share_lies_are_refused(index):
    with refused(Refusal.SHARE_INDEX, PeerError):
        VectorShare(index, np.zeros(1, dtype=np.int64))
    with refused(Refusal.SHARE_INDEX, PeerError):
        ScalarShare(index, 0)


def test_a_share_owns_its_values():
    values = np.array([1, 2, 3])
    share = VectorShare(1, values)
    values[0] = 9
    assert share.values.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        share.values[0] = 9


@pytest.mark.parametrize("share", [VectorShare(2, np.array([987_654])), ScalarShare(2, 987_654)])
def test_a_share_shows_nothing_and_cannot_be_copied_by_accident(share):
    assert "987654" not in repr(share) + str(share)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, hash):
        with pytest.raises(TypeError):
            leak(share)


def test_shares_compare_by_holder_field_and_values():
    one = VectorShare(1, np.array([1, 2]))
    assert one == VectorShare(1, np.array([1, 2]))
    others = (
        VectorShare(1, np.array([1, 3])),
        VectorShare(2, np.array([1, 2])),
        VectorShare(1, np.array([1])),
        VectorShare(1, np.array([1, 2]), PrimeField(101)),
        ScalarShare(1, 1),
    )
    assert all(one != other for other in others)
    assert ScalarShare(1, 1) == ScalarShare(1, 1) != ScalarShare(1, 2)


def test_sums_of_shares_open_to_the_sum_of_the_secrets():
    secrets = np.random.default_rng(7).integers(-500, 500, size=(20, 33))
    dealt = [deal(secret, threshold=3, members=4, randomness=SeededRandomness(bytes([k]))) for k, secret in enumerate(secrets)]
    sums = {shares[0].index: add(shares) for shares in zip(*dealt, strict=True)}
    assert np.array_equal(combine(sums, 3), secrets.sum(axis=0))


def test_sums_of_scalar_shares_open_to_the_sum_of_the_secrets():
    dealt = [deal_scalar(secret, threshold=2, members=3, randomness=SeededRandomness(bytes([secret % 256]))) for secret in (5, -9, 100)]
    sums = {shares[0].index: add(shares) for shares in zip(*dealt, strict=True)}
    assert combine_scalar(sums, 2) == 96


def test_adding_nothing_is_refused():
    with refused(Refusal.COMBINE_TOO_FEW, LocalError):
        add([])


@pytest.mark.parametrize(
    "other",
    [VectorShare(2, np.array([1, 2])), VectorShare(1, np.array([1, 2, 3])), VectorShare(1, np.array([1, 2]), PrimeField(101))],
)
def test_shares_of_another_holder_length_or_field_are_not_added(other):
    with refused(Refusal.SHARE_MISMATCH, PeerError):
        add([VectorShare(1, np.array([1, 2])), other])


@pytest.mark.parametrize("modulus", [-7, 0, 1, 2, 4, 9, 561, 1_048_574, 1_048_575])
def test_composite_and_tiny_moduli_are_refused(modulus):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        PrimeField(modulus)


def test_the_protocols_field_is_the_largest_prime_below_two_to_the_twenty():
    assert FIELD.modulus == 1_048_573
    assert FIELD.width == 20
    for modulus in range(FIELD.modulus + 1, 1 << 20):
        with refused(Refusal.SETTINGS_INVALID, LocalError):
            PrimeField(modulus)


def test_a_field_in_which_products_could_leave_int64_is_refused_for_vectors():
    large = PrimeField(2**61 - 1)
    for step in (
        lambda: VectorShare(1, np.zeros(1, dtype=np.int64), large),
        lambda: deal([1], threshold=1, members=1, randomness=SeededRandomness(b""), field=large),
        lambda: VectorShare.from_bytes(bytes(8), index=1, count=1, field=large),
        lambda: large.draw(1, SeededRandomness(b"")),
    ):
        with refused(Refusal.SETTINGS_INVALID, LocalError):
            step()


def test_the_largest_vector_field_does_not_overflow():
    field = PrimeField(2**31 - 1)
    secret = np.array([field.largest, -field.largest])
    shares = deal(secret, threshold=5, members=7, randomness=SeededRandomness(b"wide"), field=field)
    assert np.array_equal(combine({share.index: share for share in shares}, 5, field), secret)
