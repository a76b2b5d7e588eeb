import hashlib
from collections import Counter

import pytest

from hushfleet.randomness import SeededRandomness, SystemRandomness, _FromOctets

BLOCK = 1 << 16


class Given(_FromOctets):
    """Hands out what it was given, from the front."""

    def __init__(self, stream: bytes) -> None:
        self.left = stream

    def octets(self, count: int) -> bytes:
        assert count <= len(self.left), "more was asked for than the test gave"
        taken, self.left = self.left[:count], self.left[count:]
        return taken


def test_bits_are_the_leading_ones_of_as_few_bytes_as_hold_them():
    source = Given(bytes.fromhex("abcdef"))
    assert (source.bits(12), source.left) == (0xABC, bytes.fromhex("ef"))
    assert source.bits(0) == 0
    assert source.bits(8) == 0xEF


def test_below_rejects_and_draws_again_and_never_reduces():
    source = Given(bytes([0b11100000, 0b11000000, 0b01000000, 0xAA]))
    assert source.below(5) == 0b010
    assert source.left == b"\xaa"


def test_below_one_needs_no_bits():
    assert Given(b"").below(1) == 0


@pytest.mark.parametrize("bound", [0, -1])
def test_nothing_is_below_zero(bound):
    with pytest.raises(ValueError, match="at least 1"):
        SystemRandomness().below(bound)


def test_below_reaches_every_value_equally_often_over_all_bytes():
    counts = Counter(Given(bytes([first, 0b10100000])).below(6) for first in range(256))
    assert counts == {value: 32 + (64 if value == 5 else 0) for value in range(6)}  # 64 rejected first draws go to the second, 5


def test_the_system_gives_as_much_as_was_asked_for_and_never_the_same_again():
    source = SystemRandomness()
    assert [len(source.octets(count)) for count in (0, 1, 32, 100_000)] == [0, 1, 32, 100_000]
    assert source.octets(32) != source.octets(32)


def test_a_seed_gives_shake128_in_counter_mode():
    prefix = len(b"hushfleet/v2/insecure/seeded-randomness").to_bytes(4, "big") + b"hushfleet/v2/insecure/seeded-randomness" + b"seed"
    blocks = [hashlib.shake_128(prefix + number.to_bytes(8, "big")).digest(BLOCK) for number in range(2)]
    assert SeededRandomness(b"seed").octets(BLOCK + 10) == (b"".join(blocks))[: BLOCK + 10]


@pytest.mark.parametrize("cuts", [(1, 2, 3), (0, BLOCK, 1), (BLOCK - 1, 2), (5, 2 * BLOCK)])
def test_a_stream_does_not_depend_on_how_it_is_taken(cuts):
    whole, pieces = SeededRandomness(b"seed"), SeededRandomness(b"seed")
    assert b"".join(pieces.octets(count) for count in cuts) == whole.octets(sum(cuts))


def test_other_seeds_give_other_streams():
    assert len({SeededRandomness(seed).octets(16) for seed in (b"", b"0", b"1", b"seed")}) == 4
