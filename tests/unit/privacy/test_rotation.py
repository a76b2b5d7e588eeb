import math

import numpy as np
import pytest
from scipy.linalg import hadamard

from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import Label, labelled_xof
from hushfleet.privacy.blocks import block_size, padded_dimension
from hushfleet.privacy.integer_rules import LARGEST_SUM
from hushfleet.privacy.rotation import rotate, unrotate
from tests.support.refusals import refused

PLAN_HASH = bytes(range(32))
DIMENSIONS = [1, 64, 650, 2_048, 5_000, 70_000, (1 << 20) + 3]


def signs(padded):
    octets = labelled_xof(Label.ROTATION, padded // 8, PLAN_HASH)
    return np.array([-1 if octets[i // 8] >> (i % 8) & 1 else 1 for i in range(padded)])


def integer_butterfly(values, block):
    """The unnormalised transform in int64, one addition and one subtraction at a time."""
    turned, half = values.reshape(-1, block).copy(), 1
    while half < block:
        pairs = turned.reshape(-1, block // (2 * half), 2, half)
        sums, differences = pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]
        turned = np.stack([sums, differences], axis=2).reshape(-1, block)
        half *= 2
    return turned.reshape(-1)


def totals(padded):
    """Sums that strain the transform: extremes, one coordinate, and anything between."""
    generator = np.random.default_rng(padded)
    yield np.full(padded, LARGEST_SUM)
    yield np.where(generator.integers(0, 2, padded) == 1, LARGEST_SUM, -LARGEST_SUM)
    yield np.eye(1, padded, padded - 1, dtype=np.int64)[0] * -LARGEST_SUM
    yield generator.integers(-LARGEST_SUM, LARGEST_SUM + 1, padded)


@pytest.mark.parametrize("dimension", [1, 650, 4_096])
def test_the_rotation_is_the_signed_hadamard_matrix_of_each_block(dimension):
    vector = np.random.default_rng(dimension).normal(size=dimension)
    block, padded = block_size(dimension), padded_dimension(dimension)
    filled = np.zeros(padded)
    filled[:dimension] = vector
    expected = (filled * signs(padded)).reshape(-1, block) @ hadamard(block) / math.sqrt(block)
    np.testing.assert_allclose(rotate(vector, PLAN_HASH), expected.reshape(-1), atol=1e-12)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_the_norm_stays_far_within_the_slack_of_the_clip(dimension):
    vector = np.random.default_rng(dimension).normal(size=dimension)
    rotated = rotate(vector, PLAN_HASH)
    assert rotated.shape == (padded_dimension(dimension),)
    assert np.linalg.norm(rotated) == pytest.approx(np.linalg.norm(vector), rel=2.0**-40)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_unrotating_integers_is_exact_up_to_one_product_per_coordinate(dimension):
    block, padded = block_size(dimension), padded_dimension(dimension)
    for total in totals(padded):
        exact = (integer_butterfly(total, block) * signs(padded))[:dimension]
        assert np.array_equal(unrotate(total, PLAN_HASH, dimension), exact.astype(np.float64) * (math.sqrt(block) / block))


def test_the_integer_oracle_agrees_with_scipys_matrix():
    total = np.arange(-64, 64)
    assert np.array_equal(integer_butterfly(total, 64), (total.reshape(-1, 64) @ hadamard(64)).reshape(-1))


def test_unrotate_undoes_rotate():
    vector = np.random.default_rng(1).normal(size=650)
    rounded = np.rint(1000 * rotate(vector, PLAN_HASH)).astype(np.int64)
    assert np.abs(unrotate(rounded, PLAN_HASH, 650) / 1000 - vector).max() < 0.01


def test_another_plan_turns_another_way():
    vector = np.ones(650)
    assert not np.allclose(rotate(vector, PLAN_HASH), rotate(vector, bytes(32)))


def test_inputs_are_left_as_they_were():
    vector, total = np.ones(64), np.ones(64, dtype=np.int64)
    rotate(vector, PLAN_HASH)
    unrotate(total, PLAN_HASH, 64)
    assert (vector == 1).all()
    assert (total == 1).all()


@pytest.mark.parametrize("shape", [(8, 8), ()])
def test_only_flat_vectors_are_rotated(shape):
    with refused(Refusal.UPDATE_SHAPE, LocalError):
        rotate(np.zeros(shape), PLAN_HASH)


@pytest.mark.parametrize(("shape", "kind"), [(64, np.float64), (64, np.int32), (128, np.int64), ((1, 64), np.int64)])
def test_only_sums_of_the_padded_length_in_int64_are_unrotated(shape, kind):
    with refused(Refusal.UPDATE_SHAPE, LocalError):
        unrotate(np.zeros(shape, dtype=kind), PLAN_HASH, 64)


@pytest.mark.parametrize("value", [LARGEST_SUM + 1, -LARGEST_SUM - 1, np.iinfo(np.int64).min])
def test_a_sum_beyond_its_slot_is_not_unrotated(value):
    total = np.zeros(64, dtype=np.int64)
    total[5] = value
    with refused(Refusal.VALUE_OUT_OF_SLOT, LocalError):
        unrotate(total, PLAN_HASH, 64)


def test_a_plan_hash_has_32_bytes():
    with refused(Refusal.PLAN_HASH, LocalError):
        rotate(np.zeros(64), bytes(31))
    with refused(Refusal.PLAN_HASH, LocalError):
        unrotate(np.zeros(64, dtype=np.int64), bytes(33), 64)


def test_an_empty_vector_is_refused():
    with refused(Refusal.PLAN_DIMENSION, LocalError):
        rotate(np.zeros(0), PLAN_HASH)
