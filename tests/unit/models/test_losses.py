import math

import numpy as np
import pytest
from scipy.special import expit, log_softmax

from hushfleet.errors import DataError, Refusal
from models.losses import LOSSES, binary_cross_entropy, huber, mean_squared_error, softmax_cross_entropy
from tests.support.refusals import refused
from tests.support.trainer_contract import naming_row

OUTPUTS = np.array([[0.5, -1.0, 2.0], [3.0, 0.0, -0.25]])


def test_softmax_cross_entropy_equals_scipys():
    loss, slope = softmax_cross_entropy(OUTPUTS, np.array([2, 1]))
    logs = log_softmax(OUTPUTS, axis=1)
    assert loss == pytest.approx(-(logs[0, 2] + logs[1, 1]) / 2)
    np.testing.assert_allclose(slope, (np.exp(logs) - [[0, 0, 1], [0, 1, 0]]) / 2)


def test_binary_cross_entropy_equals_scipys():
    bits = np.array([[1, 0, 0], [0, 1, 1]])
    loss, slope = binary_cross_entropy(OUTPUTS, bits)
    assert loss == pytest.approx(-np.mean(np.log(np.where(bits == 1, expit(OUTPUTS), expit(-OUTPUTS)))))
    np.testing.assert_allclose(slope, (expit(OUTPUTS) - bits) / 6)


def test_mean_squared_error_is_a_mean_over_elements():
    loss, slope = mean_squared_error(OUTPUTS, np.zeros((2, 3)))
    assert loss == pytest.approx(np.mean(OUTPUTS**2))
    np.testing.assert_allclose(slope, OUTPUTS / 3)


def test_huber_is_square_near_the_target_and_straight_far_from_it():
    loss, slope = huber(OUTPUTS, np.zeros((2, 3)))
    assert loss == pytest.approx(np.mean([0.125, 0.5, 1.5, 2.5, 0, 0.03125]))
    np.testing.assert_allclose(slope, np.array([[0.5, -1, 1], [1, 0, -0.25]]) / 6)


@pytest.mark.parametrize("loss", [binary_cross_entropy, huber, mean_squared_error])
def test_flat_targets_serve_a_single_output(loss):
    outputs, targets = np.array([[0.5], [-2.0]]), np.array([1, 0])
    flat, column = loss(outputs, targets), loss(outputs, targets[:, None])
    assert flat[0] == column[0]
    assert flat[1].tolist() == column[1].tolist()
    assert flat[1].shape == (2, 1)


def test_scores_of_any_size_overflow_nothing():
    extreme = np.array([[1e300, -1e300], [-1e5, 1e5]])
    assert softmax_cross_entropy(extreme, np.array([0, 1]))[0] == 0
    assert softmax_cross_entropy(extreme[1:], np.array([0]))[0] == 2e5
    assert binary_cross_entropy(extreme, np.array([[1, 0], [0, 1]]))[0] == 0
    loss, slope = binary_cross_entropy(extreme[1:], np.array([[1, 0]]))
    assert loss == 1e5
    assert slope.tolist() == [[-0.5, 0.5]]


@pytest.mark.parametrize("bad", [2, -1, 0.5])
def test_bits_are_zero_or_one(bad):
    check = LOSSES["binary-cross-entropy"].check
    check(np.array([[0, 1], [1, 1]]), 2)
    with refused(Refusal.DATA_LABEL, DataError), naming_row(1):
        check(np.array([[0, 1], [1, bad], [bad, 0]]), 2)
    with refused(Refusal.DATA_SHAPE, DataError):
        check(np.array([0, 1]), 2)


def test_answers_and_hits():
    softmax, binary, squared = (LOSSES[name] for name in ("softmax-cross-entropy", "binary-cross-entropy", "mse"))
    assert softmax.answer(OUTPUTS).tolist() == [2, 0]
    assert softmax.hits(OUTPUTS, np.array([2, 1])).tolist() == [True, False]
    assert binary.answer(OUTPUTS).tolist() == [[1, 0, 1], [1, 0, 0]]
    assert binary.hits(OUTPUTS, np.array([[1, 0, 0], [1, 0, 0]])).tolist() == [[True, True, False], [True, True, True]]
    assert squared.answer(OUTPUTS) is OUTPUTS
    assert squared.hits is None


def test_a_certain_guess_costs_the_logarithm_of_the_number_of_classes():
    assert softmax_cross_entropy(np.zeros((4, 10)), np.arange(4))[0] == pytest.approx(math.log(10))
