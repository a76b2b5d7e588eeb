import sys

import pytest

from hushfleet.encryption.paillier.comb import FixedBase, fixed_base
from hushfleet.encryption.paillier.public import hiding_base
from hushfleet.randomness import SeededRandomness
from tests.support.keys import load

KEY = load("insecure-512").public


@pytest.mark.parametrize("bits", [1, 31, 32, 33, 521])
def test_the_comb_equals_the_plain_power_up_to_its_capacity_and_beyond(bits):
    comb = FixedBase(KEY.h_s, KEY.modulus_squared, bits)
    assert comb.capacity >= bits
    randomness = SeededRandomness(b"comb")
    edges = [0, 1, 2, (1 << comb.capacity) - 1, 1 << comb.capacity, (1 << comb.capacity) + 1]
    for exponent in edges + [randomness.bits(length) for length in (1, bits, comb.capacity, comb.capacity + 200)]:
        assert comb.power(exponent) == pow(KEY.h_s, exponent, KEY.modulus_squared)


def test_tables_are_kept_for_the_last_few_bases_only():
    first = fixed_base(KEY.h_s, KEY.modulus_squared, 64)
    assert fixed_base(KEY.h_s, KEY.modulus_squared, 64) is first
    for base in (3, 5, 7, 11):
        fixed_base(base, KEY.modulus_squared, 64)
    assert fixed_base(KEY.h_s, KEY.modulus_squared, 64) is not first


def test_a_table_at_3072_bit_covers_a_response_and_stays_under_a_megabyte():
    key = load("test-3072").public
    comb = hiding_base(key)
    assert comb.capacity >= key.bits // 2 + 265
    assert sum(sys.getsizeof(entry) for table in comb._tables for entry in table) < 1_000_000
