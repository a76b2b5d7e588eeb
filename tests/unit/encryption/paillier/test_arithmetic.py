import gmpy2
import pytest

from hushfleet.encryption.paillier import arithmetic
from hushfleet.encryption.paillier.arithmetic import first_no_ciphertext, first_no_root, power, power_quiet, product_of_powers
from hushfleet.randomness import SeededRandomness
from tests.support.keys import load

KEY = load("insecure-512")
N, SQUARE = KEY.public.modulus, KEY.public.modulus_squared


def test_powers_equal_pythons():
    randomness = SeededRandomness(b"powers")
    base, exponent = randomness.below(SQUARE), randomness.bits(700)
    assert power(base, exponent, SQUARE) == power_quiet(base, exponent, SQUARE) == pow(base, exponent, SQUARE)
    assert power(base, -exponent, SQUARE) == pow(base, -exponent, SQUARE)


@pytest.mark.parametrize(("function", "wrapped"), [(power, "powmod"), (power_quiet, "powmod_sec")])
def test_powers_release_the_interpreter_lock_and_leave_the_applications_settings(monkeypatch, function, wrapped):
    seen = []
    original = getattr(gmpy2, wrapped)

    def watched(*arguments: int):
        seen.append(gmpy2.get_context().allow_release_gil)
        return original(*arguments)

    monkeypatch.setattr(arithmetic.gmpy2, wrapped, watched)
    assert function(3, 5, 35) == pow(3, 5, 35)
    assert seen == [True]
    assert gmpy2.get_context().allow_release_gil is False


def test_the_quiet_power_is_gmps_side_channel_quiet_one(monkeypatch):
    monkeypatch.setattr(arithmetic.gmpy2, "powmod", None)
    assert power_quiet(3, 5, 35) == pow(3, 5, 35)


@pytest.mark.parametrize("bad", [-1, 0, 1, N, 3 * N, KEY.p, SQUARE - KEY.q, SQUARE, SQUARE + 2])
@pytest.mark.parametrize("position", [0, 2])
def test_the_first_value_that_is_no_ciphertext_is_named(bad, position):
    values = [2, 3, 5]
    values[position] = bad
    assert first_no_ciphertext(values, N) == position


@pytest.mark.parametrize("bad", [-1, 0, N, KEY.p, N - KEY.q, N + 1])
@pytest.mark.parametrize("position", [0, 2])
def test_the_first_value_that_is_no_root_is_named(bad, position):
    values = [1, 3, N - 1]
    values[position] = bad
    assert first_no_root(values, N) == position


def test_units_are_acceptable():
    assert first_no_ciphertext((2, SQUARE - 1, N + 1), N) is None
    assert first_no_ciphertext((), N) is None


@pytest.mark.parametrize(("count", "bits"), [(0, 0), (1, 1), (1, 128), (5, 128), (3, 0), (40, 256), (300, 20)])
def test_product_of_powers_equals_the_plain_product(count, bits):
    randomness = SeededRandomness(f"{count} {bits}".encode())
    bases, exponents = [randomness.below(SQUARE) for _ in range(count)], [randomness.bits(bits) for _ in range(count)]
    expected = 1
    for base, exponent in zip(bases, exponents, strict=True):
        expected = expected * pow(base, exponent, SQUARE) % SQUARE
    assert product_of_powers(bases, exponents, SQUARE) == expected


def test_product_of_powers_of_very_different_lengths():
    exponents = [0, 1, 1 << 300, (1 << 300) - 1, 7]
    expected = pow(2, 0, N) * 3 * pow(5, 1 << 300, N) * pow(7, (1 << 300) - 1, N) * pow(11, 7, N) % N
    assert product_of_powers([2, 3, 5, 7, 11], exponents, N) == expected
