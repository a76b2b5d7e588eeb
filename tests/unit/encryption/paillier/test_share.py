import copy
import pickle

import msgspec
import pytest

from hushfleet.encryption.paillier.public import encrypt
from hushfleet.encryption.paillier.secret import check_share
from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.errors import PeerError, Refusal
from hushfleet.randomness import SeededRandomness
from tests.support.keys import load
from tests.support.refusals import refused

TEST = load("insecure-512")
SHARE = TEST.shares[1]


def test_a_share_survives_its_bytes_at_fixed_width():
    data = SHARE.to_bytes(TEST.public)
    assert len(data) == 2 + TEST.public.modulus_bytes
    assert KeyShare.from_bytes(TEST.public, data) == SHARE


def test_equality_looks_at_index_and_value():
    assert KeyShare(2, SHARE.value) == SHARE
    assert KeyShare(3, SHARE.value) != SHARE
    assert KeyShare(2, SHARE.value + 1) != SHARE
    assert SHARE.value != SHARE


def encryption():
    return encrypt(TEST.public, (5,), SeededRandomness(b"secret"))


@pytest.mark.parametrize("secret", [SHARE, encryption()], ids=["share", "encryption"])
def test_secrets_do_not_show_or_travel_by_accident(secret):
    number = secret.value if isinstance(secret, KeyShare) else secret.openings[0]
    assert str(number) not in repr(secret)
    assert "secret" in repr(secret)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy, msgspec.msgpack.encode, msgspec.json.encode):
        with pytest.raises(TypeError):
            attempt(secret)
    with pytest.raises(TypeError):
        vars(secret)


def test_a_share_is_not_a_dictionary_key():
    with pytest.raises(TypeError):
        hash(SHARE)


@pytest.mark.parametrize(("index", "value"), [(0, 5), (-1, 5), (1, 0), (1, -5)])
def test_impossible_shares_are_refused(index, value):
    with refused(Refusal.SHARE_MISMATCH, PeerError):
        KeyShare(index, value)


def test_share_bytes_of_another_length_are_refused():
    data = SHARE.to_bytes(TEST.public)
    for wrong in (b"", data[:-1], data + b"\0"):
        with refused(Refusal.SHARE_MISMATCH, PeerError):
            KeyShare.from_bytes(TEST.public, wrong)


@pytest.mark.parametrize("name", ["insecure-512", "insecure-512-f2", "test-2048"])
def test_dealt_shares_fit_their_key(name):
    test = load(name)
    for share in test.shares:
        check_share(test.public, share)


@pytest.mark.parametrize("wrong", [KeyShare(2, SHARE.value + 1), KeyShare(1, SHARE.value), KeyShare(5, SHARE.value)])
def test_a_share_that_does_not_fit_is_refused_on_import(wrong):
    with refused(Refusal.SHARE_MISMATCH, PeerError):
        check_share(TEST.public, wrong)
