import math

import numpy as np
import pytest

from hushfleet.aggregation import AggregateUpdate, mean_update
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.privacy.blocks import padded_dimension
from hushfleet.privacy.integer_rules import slot_limit
from hushfleet.privacy.rotation import rotate, unrotate
from tests.support.refusals import refused

PLAN_HASH = bytes(range(32))
LIMIT = slot_limit(20)


def test_the_mean_of_rotated_updates_comes_back():
    generator, scale, dimension = np.random.default_rng(8), 10_000.0, 650
    updates = generator.normal(size=(5, dimension)) / math.sqrt(dimension)
    total = sum(np.rint(scale * rotate(update, PLAN_HASH)).astype(np.int64) for update in updates)
    aggregate = mean_update(total, plan_hash=PLAN_HASH, dimension=dimension, scale=scale, count=5, slot_bits=20)
    assert aggregate.count == 5
    assert aggregate.mean.shape == (dimension,)
    assert np.abs(aggregate.mean - updates.mean(axis=0)).max() < 5 / scale


def test_scale_and_count_divide_once_as_their_product():
    total = np.arange(padded_dimension(70), dtype=np.int64)
    aggregate = mean_update(total, plan_hash=PLAN_HASH, dimension=70, scale=0.3, count=7, slot_bits=20)
    turned = unrotate(total, PLAN_HASH, 70).tolist()
    assert aggregate.mean.tolist() == [value / (0.3 * 7) for value in turned]


def test_the_unrotation_agrees_with_a_schoolbook_hadamard_product():
    total = np.random.default_rng(9).integers(-1000, 1000, size=64)
    signs = np.sign(unrotate(np.eye(64, dtype=np.int64)[0], PLAN_HASH, 64))
    schoolbook = [
        signs[row] * sum((-1) ** (row & column).bit_count() * int(total[column]) for column in range(64)) / 8 for row in range(64)
    ]
    assert mean_update(total, plan_hash=PLAN_HASH, dimension=64, scale=1.0, count=1, slot_bits=20).mean.tolist() == schoolbook


@pytest.mark.parametrize("value", [LIMIT + 1, -LIMIT - 1, -(2**63)])
def test_a_coordinate_beyond_the_slots_is_the_peers_fault(value):
    total = np.zeros(64, dtype=np.int64)
    total[3] = value
    with refused(Refusal.VALUE_OUT_OF_SLOT, PeerError):
        mean_update(total, plan_hash=PLAN_HASH, dimension=64, scale=1.0, count=1, slot_bits=20)


@pytest.mark.parametrize(("scale", "count"), [(0.0, 1), (-1.0, 1), (math.nan, 1), (math.inf, 1), (1e308, 10), (1.0, 0), (-1.0, -1)])
def test_scales_and_counts_that_give_no_mean_are_refused(scale, count):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        mean_update(np.zeros(64, dtype=np.int64), plan_hash=PLAN_HASH, dimension=64, scale=scale, count=count, slot_bits=20)


def test_a_scale_so_small_that_the_mean_overflows_is_refused():
    with refused(Refusal.MODEL_NOT_FINITE, PeerError):
        mean_update(np.ones(64, dtype=np.int64), plan_hash=PLAN_HASH, dimension=64, scale=5e-324, count=1, slot_bits=20)


def test_an_aggregate_is_finite_flat_and_counted():
    with refused(Refusal.MODEL_NOT_FINITE, PeerError):
        AggregateUpdate(np.array([0.0, math.nan]), 3)
    for mean, count in ((np.zeros((2, 2)), 3), (np.zeros(2), 0)):
        with refused(Refusal.SETTINGS_INVALID, LocalError):
            AggregateUpdate(mean, count)


def test_an_aggregate_owns_its_values():
    values = np.ones(2)
    aggregate = AggregateUpdate(values, 3)
    values[0] = 9
    assert aggregate.mean.tolist() == [1, 1]
    with pytest.raises(ValueError, match="read-only"):
        aggregate.mean[0] = 9
