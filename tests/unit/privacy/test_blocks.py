import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.blocks import MAX_DIMENSION, block_size, padded_dimension
from tests.support.refusals import refused


@pytest.mark.parametrize(
    ("dimension", "block", "padded"),
    [
        (1, 64, 64),
        (64, 64, 64),
        (65, 64, 128),
        (650, 64, 704),
        (2_047, 64, 2_048),
        (2_048, 128, 2_048),
        (100_000, 4_096, 102_400),
        (1_000_000, 32_768, 1_015_808),
        ((1 << 20) - 1, 32_768, 1 << 20),
        (1 << 20, 65_536, 1 << 20),
        (MAX_DIMENSION, 65_536, MAX_DIMENSION),
    ],
)
def test_blocks_and_padding_as_the_protocol_states_them(dimension, block, padded):
    assert (block_size(dimension), padded_dimension(dimension)) == (block, padded)


def test_padding_adds_less_than_a_block_and_is_its_own_padding():
    for dimension in range(1, 40_000, 7):
        padded = padded_dimension(dimension)
        assert dimension <= padded < dimension + block_size(dimension)
        assert padded_dimension(padded) == padded
        assert padded % block_size(dimension) == 0


@pytest.mark.parametrize("dimension", [-1, 0, MAX_DIMENSION + 1])
def test_no_blocks_for_a_dimension_out_of_range(dimension):
    with refused(Refusal.PLAN_DIMENSION, LocalError):
        block_size(dimension)
