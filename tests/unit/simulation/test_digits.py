import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import SeededRandomness
from models import catalogue
from simulation.digits import CLASSES, FEATURES, LEAST_ROWS, deal, split
from tests.support.refusals import refused

ALL, TRAINING, HELD_OUT = 1797, 1438, 359


@pytest.fixture(scope="module")
def digits():
    return split(50, SeededRandomness(b"digits"))


def test_every_row_is_dealt_once_and_a_fifth_is_held_out(digits):
    dealt = np.concatenate([device.features for device in digits.devices])
    assert len(dealt) == TRAINING
    assert len(digits.holdout) == HELD_OUT
    # no two of the 1,797 pictures are alike
    assert len(np.unique(np.concatenate([dealt, digits.holdout.features]), axis=0)) == ALL


def test_rows_are_what_the_demo_model_takes(digits):
    model = catalogue.trainer(f"softmax:{FEATURES}x{CLASSES}")
    for data in (*digits.devices, digits.holdout):
        model.check(data.features, data.targets)


def test_the_split_is_uneven_in_size_and_in_digits(digits):
    sizes = [len(device) for device in digits.devices]
    assert min(sizes) >= LEAST_ROWS
    assert max(sizes) > 2 * min(sizes)
    shares = np.array([np.bincount(device.targets, minlength=CLASSES) / len(device) for device in digits.devices])
    even = np.sqrt(0.1 * 0.9 / np.array(sizes))
    assert np.sqrt(np.mean((shares - 0.1) ** 2)) > 1.05 * np.sqrt(np.mean(even**2))


def test_the_same_stream_gives_the_same_split(digits):
    again, other = split(50, SeededRandomness(b"digits")), split(50, SeededRandomness(b"other"))
    assert [device.features.tobytes() for device in again.devices] == [device.features.tobytes() for device in digits.devices]
    assert again.holdout.targets.tobytes() == digits.holdout.targets.tobytes()
    assert again.holdout.targets.tobytes() != other.holdout.targets.tobytes()


@pytest.mark.parametrize("devices", [1, 5, 179])
def test_every_device_gets_enough_rows_and_every_row_a_device(devices):
    split_ = split(devices, SeededRandomness(b"edge"))
    assert len(split_.devices) == devices
    assert min(map(len, split_.devices)) >= LEAST_ROWS
    assert sum(map(len, split_.devices)) == TRAINING


@pytest.mark.parametrize("devices", [0, -1, 180])
def test_fleets_that_the_rows_cannot_serve_are_refused(devices):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        split(devices, SeededRandomness(b"edge"))


def test_dealing_empties_every_pile():
    targets = np.array([0] * 20 + [9] * 12)
    shares = deal(targets, np.arange(32), 3, SeededRandomness(b"piles"))
    assert sorted(np.concatenate(shares).tolist()) == list(range(32))
