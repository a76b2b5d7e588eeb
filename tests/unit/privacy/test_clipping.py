import math

import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.clipping import ClippedVector, clip
from tests.support.refusals import refused

SLACK = 1 - 2.0**-20
LARGEST = np.finfo(np.float64).max
SMALLEST = 5e-324


def test_a_long_update_keeps_its_direction():
    clipped = clip(np.array([3.0, 0.0, -4.0]), 1.0)
    np.testing.assert_allclose(clipped.values, np.array([0.6, 0.0, -0.8]) * SLACK, rtol=1e-15)
    assert clipped.clip_norm == 1.0


@pytest.mark.parametrize("update", [[0.0, 0.0], [0.6, -0.7], [SLACK, 0.0], [SMALLEST, 0.0], [-0.0, 1e-200]])
def test_a_short_update_is_copied_bit_for_bit(update):
    given = np.array(update)
    clipped = clip(given, 1.0)
    assert clipped.values.tobytes() == given.tobytes()
    assert not np.shares_memory(clipped.values, given)


@pytest.mark.parametrize("update", [[1.0, 0.0], [LARGEST, LARGEST, -LARGEST], [1e200, 1e-200], [math.nextafter(SLACK, 2), 0.0]])
def test_norms_beyond_float64_are_clipped_like_any_other(update):
    given = np.array(update)
    clipped = clip(given, 1.0)
    assert math.hypot(*clipped.values) == pytest.approx(SLACK, rel=1e-12)
    assert np.array_equal(np.sign(clipped.values)[given != 0][:1], np.sign(given)[given != 0][:1])


def test_tiny_updates_and_tiny_clip_norms_meet():
    clipped = clip(np.array([3e-290, -4e-290]), 1e-290)
    np.testing.assert_allclose(clipped.values * 1e290, np.array([0.6, -0.8]) * SLACK, rtol=1e-12)


def test_a_clip_norm_that_no_vector_can_meet_is_refused_not_exceeded():
    with refused(Refusal.UPDATE_NORM, LocalError):
        clip(np.full(9, 1.0), 1.5 * SMALLEST)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_update_that_is_not_finite_is_refused(value):
    with refused(Refusal.UPDATE_NOT_FINITE, LocalError):
        clip(np.array([0.0, value]), 1.0)


@pytest.mark.parametrize("update", [np.zeros(0), np.zeros((2, 2)), np.zeros(3, dtype=np.float32), np.zeros(3, dtype=np.int64)])
def test_only_flat_float64_updates_are_clipped(update):
    with refused(Refusal.UPDATE_SHAPE, LocalError):
        clip(update, 1.0)


@pytest.mark.parametrize("clip_norm", [0.0, -1.0, math.nan, math.inf])
def test_a_clip_norm_is_finite_and_positive(clip_norm):
    with refused(Refusal.PLAN_CLIP_NORM, LocalError):
        clip(np.ones(3), clip_norm)
    with refused(Refusal.PLAN_CLIP_NORM, LocalError):
        ClippedVector.zero(3, clip_norm)


def test_nothing_longer_than_its_clip_norm_can_call_itself_clipped():
    with refused(Refusal.UPDATE_NORM, LocalError):
        ClippedVector(np.array([0.8, 0.8]), 1.0)
    with refused(Refusal.UPDATE_NOT_FINITE, LocalError):
        ClippedVector(np.array([math.nan]), 1.0)


def test_a_clipped_vector_is_read_only_and_its_values_stay_out_of_logs():
    clipped = clip(np.array([0.125, 0.25]), 1.0)
    assert not clipped.values.flags.writeable
    assert "0.125" not in repr(clipped)
    assert "0.125" not in f"{clipped}"
