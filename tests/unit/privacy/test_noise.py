import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.integer_rules import LARGEST_SUM
from hushfleet.privacy.noise import EncodedVector, add_noise
from hushfleet.privacy.sampler import discrete_gaussian
from hushfleet.randomness import SeededRandomness
from tests.support.refusals import refused
from tests.support.scripted import Constant, Scripted


def test_every_coordinate_gets_its_own_draw():
    rounded = np.arange(-500, 500)
    encoded = add_noise(rounded, 3_750, SeededRandomness(b"noise"))
    assert np.array_equal(encoded.values - rounded, discrete_gaussian(3_750).draw(1_000, SeededRandomness(b"noise")))
    assert len(np.unique(encoded.values - rounded)) > 100


def test_noise_is_not_clamped():
    encoded = add_noise(np.full(4, 71), 3_750, Constant(255))
    assert (encoded.values == 71 + discrete_gaussian(3_750).half_width).all()


def test_without_privacy_nothing_is_drawn():
    rounded = np.array([1, -2, 3])
    encoded = add_noise(rounded, 0, Scripted([]))
    assert encoded.values.tolist() == [1, -2, 3]
    assert not np.shares_memory(encoded.values, rounded)


@pytest.mark.parametrize("variance", [-1, 1 << 40])
def test_a_variance_out_of_range_adds_nothing(variance):
    with refused(Refusal.PLAN_VARIANCE, LocalError):
        add_noise(np.zeros(3, dtype=np.int64), variance, Scripted([]))


@pytest.mark.parametrize(("shape", "kind"), [(64, np.float64), (64, np.int32), (0, np.int64), ((2, 2), np.int64)])
def test_only_flat_int64_vectors_are_encoded(shape, kind):
    with refused(Refusal.UPDATE_SHAPE, LocalError):
        EncodedVector(np.zeros(shape, dtype=kind))


@pytest.mark.parametrize("value", [LARGEST_SUM + 1, -LARGEST_SUM - 1, np.iinfo(np.int64).min])
def test_a_value_beyond_its_slot_is_refused(value):
    EncodedVector(np.array([LARGEST_SUM, -LARGEST_SUM]))
    with refused(Refusal.VALUE_OUT_OF_SLOT, LocalError):
        EncodedVector(np.array([0, value]))


def test_an_encoded_vector_is_read_only_and_its_values_stay_out_of_logs():
    encoded = EncodedVector(np.array([271_828, 2]))
    assert not encoded.values.flags.writeable
    assert "271828" not in repr(encoded) + f"{encoded}"
