import pytest

from hushfleet.encryption.paillier.public import accept, ciphertexts_from_bytes, ciphertexts_to_bytes, encrypt, sum_ciphertexts
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.randomness import SeededRandomness, SystemRandomness
from tests.support.keys import load
from tests.support.paillier import Watched, phe_decrypt
from tests.support.refusals import refused

TEST = load("insecure-512")
KEY = TEST.public
N, SQUARE = KEY.modulus, KEY.modulus_squared
UNITS = encrypt(KEY, (1, 2, 3), SeededRandomness(b"units")).ciphertexts


@pytest.mark.parametrize("name", ["insecure-512", "insecure-512-f2", "test-2048", "test-3072"])
def test_phe_decrypts_what_we_encrypt_and_add(name):
    test = load(name)
    plaintexts = (0, 1, test.public.modulus - 1)
    one = encrypt(test.public, plaintexts, SystemRandomness()).ciphertexts
    other = encrypt(test.public, (5, 6, 7), SystemRandomness()).ciphertexts
    assert phe_decrypt(test, one) == plaintexts
    assert phe_decrypt(test, sum_ciphertexts(test.public, [one, other, other])) == (10, 13, 13)


def test_the_formula():
    encryption = encrypt(KEY, (42,), SeededRandomness(b"formula"))
    assert encryption.ciphertexts[0] == (1 + 42 * N) * pow(KEY.h_s, encryption.openings[0], SQUARE) % SQUARE


def test_every_opening_is_fresh_and_of_half_the_modulus_length():
    randomness = Watched()
    encryption = encrypt(KEY, (4, 4, 4), randomness)
    assert randomness.bits_asked == [KEY.bits // 2] * 3
    assert len(set(encryption.ciphertexts)) == 3


@pytest.mark.parametrize("plaintext", [-1, N])
def test_plaintexts_outside_the_modulus_are_refused(plaintext):
    with refused(Refusal.VALUE_OUT_OF_SLOT, LocalError):
        encrypt(KEY, (0, plaintext), SystemRandomness())


@pytest.mark.parametrize("bad", [-1, 0, 1, N, TEST.p, 5 * TEST.q, SQUARE, SQUARE + 1])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_unacceptable_ciphertexts_are_refused_by_name(bad, position):
    values = list(UNITS)
    values[position] = bad
    with refused(Refusal.CIPHERTEXT_INVALID, PeerError):
        accept(KEY, values)
    with pytest.raises(PeerError, match=f"ciphertext {position} "):
        accept(KEY, values)


def test_ciphertexts_survive_their_bytes():
    data = ciphertexts_to_bytes(KEY, UNITS)
    assert len(data) == 3 * KEY.ciphertext_bytes
    assert ciphertexts_from_bytes(KEY, data, 3) == UNITS
    assert ciphertexts_from_bytes(KEY, b"", 0) == ()


def test_bytes_of_another_length_are_refused_before_arithmetic():
    data = ciphertexts_to_bytes(KEY, UNITS)
    for wrong, count in ((data[:-1], 3), (data + b"\0", 3), (data, 2), (data, 4), (b"", 1)):
        with refused(Refusal.CIPHERTEXT_COUNT, PeerError):
            ciphertexts_from_bytes(KEY, wrong, count)
    with refused(Refusal.CIPHERTEXT_INVALID, PeerError):
        ciphertexts_from_bytes(KEY, bytes(KEY.ciphertext_bytes), 1)


def test_vectors_of_different_lengths_do_not_add_up():
    with refused(Refusal.CIPHERTEXT_COUNT, PeerError):
        sum_ciphertexts(KEY, [UNITS, UNITS[:2]])
    with pytest.raises(ValueError, match="nothing"):
        sum_ciphertexts(KEY, [])


def test_a_running_sum_equals_the_sum():
    other = encrypt(KEY, (4, 5, 6), SeededRandomness(b"other")).ciphertexts
    running = sum_ciphertexts(KEY, [UNITS])
    assert running == UNITS
    assert sum_ciphertexts(KEY, [sum_ciphertexts(KEY, [running, other]), other]) == sum_ciphertexts(KEY, [UNITS, other, other])
