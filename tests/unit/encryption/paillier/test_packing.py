import numpy as np
import pytest

from hushfleet.encryption.paillier.packing import pack, plaintext_count, slots, unpack
from hushfleet.errors import LocalError, PeerError, Refusal
from tests.support.keys import load
from tests.support.refusals import refused

KEY = load("insecure-512").public
N = KEY.modulus


def schoolbook_pack(values, width):
    per = (KEY.bits - 12) // width
    return [sum(int(y) << (width * k) for k, y in enumerate(values[start : start + per])) % N for start in range(0, len(values), per)]


def schoolbook_unpack(plaintext, count, width):
    rest, values = plaintext - N if plaintext > N // 2 else plaintext, []
    for _ in range(count):
        y = (rest + (1 << (width - 1))) % (1 << width) - (1 << (width - 1))
        values.append(y)
        rest = (rest - y) >> width
    return values, rest


def test_the_protocols_slot_counts():
    assert slots(3072, 20) == 153
    assert plaintext_count(704, 20, 3072) == 5
    assert plaintext_count(2048, 13, 3072) == 9
    assert plaintext_count(2048, 13, 2048) == 14


@pytest.mark.parametrize("width", [2, 13, 20, 62])
@pytest.mark.parametrize("count", [0, 1, 24, 25, 26, 100])
def test_packing_equals_the_schoolbook_and_comes_back(width, count):
    limit = (1 << (width - 1)) - 1
    values = np.random.default_rng(count).integers(-limit, limit + 1, count)
    plaintexts = pack(values, width, KEY)
    assert plaintexts == schoolbook_pack(values, width)
    assert len(plaintexts) == plaintext_count(count, width, KEY.bits)
    assert all(type(plaintext) is int and 0 <= plaintext < N for plaintext in plaintexts)
    assert np.array_equal(unpack(plaintexts, count, width, KEY), values)


def test_sums_of_plaintexts_unpack_to_sums():
    one, other = np.arange(-40, 40), np.arange(80)[::-1] * 3
    total = [(a + b) % N for a, b in zip(pack(one, 20, KEY), pack(other, 20, KEY), strict=True)]
    assert np.array_equal(unpack(total, 80, 20, KEY), one + other)


@pytest.mark.parametrize("width", [13, 20])
@pytest.mark.parametrize("sign", [1, -1])
def test_one_past_the_bound_is_refused(width, sign):
    limit = (1 << (width - 1)) - 1
    assert unpack(pack(np.array([sign * limit]), width, KEY), 1, width, KEY)[0] == sign * limit
    with refused(Refusal.VALUE_OUT_OF_SLOT, LocalError):
        pack(np.array([0, sign * (limit + 1)]), width, KEY)


def test_extreme_int64_values_are_refused_not_wrapped():
    info = np.iinfo(np.int64)
    for value in (info.min, info.max):
        with refused(Refusal.VALUE_OUT_OF_SLOT, LocalError):
            pack(np.array([value]), 20, KEY)


def test_the_lowest_digit_decodes_as_the_protocol_says():
    # -2^(width-1) is never sent, but a sum may reach it.
    assert unpack([-(1 << 19) % N], 1, 20, KEY)[0] == -(1 << 19)


@pytest.mark.parametrize("plaintext", [1 << 19, 1 << 20, N // 2, (-(1 << 19) - 1) % N, N // 2 + 1])
def test_a_rest_beyond_the_last_value_is_refused(plaintext):
    assert schoolbook_unpack(plaintext, 1, 20)[1] != 0
    with refused(Refusal.SUM_REMAINDER, PeerError):
        unpack([plaintext], 1, 20, KEY)


def test_a_rest_beyond_full_slots_is_refused():
    per = slots(KEY.bits, 20)
    with refused(Refusal.SUM_REMAINDER, PeerError):
        unpack([1 << (20 * per)], per, 20, KEY)


@pytest.mark.parametrize("plaintexts", [[], [0, 0]])
def test_another_number_of_plaintexts_is_refused(plaintexts):
    with refused(Refusal.CIPHERTEXT_COUNT, LocalError):
        unpack(plaintexts, 25, 20, KEY)


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((2, 2), np.int64), np.zeros(3, np.int32)])
def test_only_int64_vectors_are_packed(values):
    with pytest.raises(TypeError, match="int64"):
        pack(values, 20, KEY)


@pytest.mark.parametrize("width", [0, 1, 63])
def test_impossible_widths(width):
    with pytest.raises(ValueError, match="bits"):
        slots(512, width)
