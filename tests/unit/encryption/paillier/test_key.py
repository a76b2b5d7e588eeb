import dataclasses

import pytest

from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.errors import PeerError, Refusal
from tests.support.keys import load
from tests.support.refusals import refused

KEY = load("insecure-512").public
NAMES = ["insecure-512", "insecure-512-f2", "test-2048", "test-3072"]


def changed(**fields: object):
    return dataclasses.replace(KEY, **{"insecure": True, **fields})


@pytest.mark.parametrize("name", NAMES)
def test_a_key_survives_its_bytes(name):
    key = load(name).public
    data = key.to_bytes()
    assert len(data) == (key.members + 4) * key.modulus_bytes
    assert PublicKey.from_bytes(data, members=key.members, insecure=True) == key


def test_committee_and_widths_follow_from_the_key():
    key = load("insecure-512-f2").public
    assert (key.members, key.f, key.threshold, key.delta) == (7, 2, 5, 5040)
    assert (key.bits, key.modulus_bytes, key.ciphertext_bytes) == (512, 64, 128)
    assert key.phe().n == key.modulus
    assert key.phe().nsquare == key.modulus_squared


@pytest.mark.parametrize("members", [0, 1, 3, 5, 6, 8, 13])
def test_other_committee_sizes_are_refused(members):
    with refused(Refusal.COMMITTEE_SIZE, PeerError):
        changed(verification=(KEY.verification * 4)[:members])
    with refused(Refusal.COMMITTEE_SIZE, PeerError):
        PublicKey.from_bytes(KEY.to_bytes(), members=members, insecure=True)


def test_small_keys_need_the_insecure_flag_and_never_fall_below_512_bit():
    with refused(Refusal.KEY_TOO_SMALL, PeerError):
        PublicKey.from_bytes(KEY.to_bytes(), members=4)
    with refused(Refusal.KEY_TOO_SMALL, PeerError):
        changed(modulus=KEY.modulus >> 8 | 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"modulus": KEY.modulus + 1},
        {"modulus": -KEY.modulus},
        {"modulus": KEY.modulus << 1 | 1},
        {"h_s": 0},
        {"h_s": 1},
        {"h_s": KEY.modulus},
        {"h_s": KEY.h_s + KEY.modulus_squared},
        {"v": 1},
        {"v": 2 * KEY.modulus},
        {"verification": (*KEY.verification[:3], 1)},
        {"verification": (*KEY.verification[:3], KEY.modulus + 1)},
        {"verification": (KEY.modulus, *KEY.verification[1:])},
    ],
)
def test_malformed_keys_are_refused(fields):
    with refused(Refusal.KEY_MALFORMED, PeerError):
        changed(**fields)


SMALL_UNITS = {"h_s": 3, "v": 5, "verification": (7, 11, 13, 17)}


def test_a_modulus_is_odd_and_of_whole_bytes():
    fermat = (1 << 512) + 1
    assert changed(modulus=fermat << 7 | 1, **SMALL_UNITS).bits == 520, "the control: only the modulus is at fault below"
    for modulus in (1 << 511, fermat):
        with refused(Refusal.KEY_MALFORMED, PeerError):
            changed(modulus=modulus, **SMALL_UNITS)


def test_bytes_of_another_length_or_a_short_modulus_are_refused():
    data = KEY.to_bytes()
    for wrong in (b"", data[:-1], data + b"\0", data + bytes(13), bytes(len(data)), b"\0" + data[1:]):
        with refused(Refusal.KEY_MALFORMED, PeerError):
            PublicKey.from_bytes(wrong, members=4, insecure=True)


def test_bytes_read_for_another_committee_are_refused():
    with refused(Refusal.KEY_MALFORMED, PeerError):
        PublicKey.from_bytes(KEY.to_bytes(), members=7, insecure=True)
