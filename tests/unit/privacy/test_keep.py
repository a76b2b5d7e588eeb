import hashlib

import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.blocks import block_size, padded_dimension
from hushfleet.privacy.keep import kept_coordinates
from tests.support.refusals import refused

PLAN_HASH = bytes(range(32))


@pytest.mark.parametrize("dimension", [1, 650, 5_000])
def test_everything_is_kept_unless_asked_otherwise(dimension):
    assert np.array_equal(kept_coordinates(dimension, 1, b""), np.arange(padded_dimension(dimension)))


@pytest.mark.parametrize("dimension", [1, 650, 5_000])
@pytest.mark.parametrize("keep", [2, 4])
def test_the_rule_is_spelled_out(dimension, keep):
    """In each block the coordinates with the smallest u32 of SHAKE-128 under its label, in rising order."""
    padded, block = padded_dimension(dimension), block_size(dimension)
    label = b"hushfleet/v2/xof/kept-coordinates"
    stream = hashlib.shake_128(len(label).to_bytes(4, "big") + label + PLAN_HASH).digest(4 * padded)
    draws = [int.from_bytes(stream[4 * place : 4 * place + 4], "little") for place in range(padded)]
    expected = []
    for start in range(0, padded, block):
        expected += sorted(sorted(range(start, start + block), key=lambda place: (draws[place], place))[: block // keep])
    assert kept_coordinates(dimension, keep, PLAN_HASH).tolist() == expected


def test_another_plan_keeps_others():
    assert not np.array_equal(kept_coordinates(650, 2, PLAN_HASH), kept_coordinates(650, 2, bytes(32)))


def test_each_coordinate_is_kept_equally_often():
    counts = np.zeros(64)
    for number in range(2_000):
        counts[kept_coordinates(64, 4, number.to_bytes(32, "big"))] += 1
    assert abs(counts - 500).max() < 5 * (2_000 * 0.25 * 0.75) ** 0.5


def test_other_parts_and_hashes_are_refused():
    for keep in (0, 3, 8, -1):
        with refused(Refusal.PLAN_KEEP, LocalError):
            kept_coordinates(64, keep, PLAN_HASH)
    with refused(Refusal.PLAN_HASH, LocalError):
        kept_coordinates(64, 2, bytes(31))
    with refused(Refusal.PLAN_DIMENSION, LocalError):
        kept_coordinates(0, 2, PLAN_HASH)
