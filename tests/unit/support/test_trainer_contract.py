"""The trainer contract must notice each way in which a trainer can be wrong."""

import numpy as np
import pytest

from hushfleet.errors import DataError
from hushfleet.training import Architecture, Data, require_features, require_targets
from tests.support.trainer_contract import LabelledTrainerContract, TrainerContract


class Mean:
    """One value, drawn to the mean of the targets."""

    architecture = Architecture("mean", (("m", (1,)),), "mse", b"mean")

    def check(self, features, targets):
        require_features(features, (1,))
        require_targets(targets, 1)

    def gradient(self, parameters, _features, targets):
        return float(np.mean((parameters - targets) ** 2)), 2 * np.array([np.mean(parameters - targets)])


class Drifting(Mean):
    """Remembers how often it was called."""

    calls = 0

    def gradient(self, parameters, features, targets):
        type(self).calls += 1
        loss, gradient = super().gradient(parameters, features, targets)
        return loss, gradient + 1e-3 * self.calls


class Meddling(Mean):
    """Writes into what it was given."""

    def gradient(self, parameters, features, targets):
        result = super().gradient(parameters, features, targets)
        parameters[0] = 0.0
        return result


class Overflowing(Mean):
    def gradient(self, parameters, features, targets):
        loss, gradient = super().gradient(parameters, features, targets)
        return loss, gradient * np.inf


class Trusting(Mean):
    def check(self, features, targets):
        pass


def contract(trainer_type, kind=TrainerContract):
    class Contract(kind):
        bad_label = 2.0

        def trainer(self):
            return trainer_type()

        def data(self, rows):
            return Data(np.arange(rows).reshape(rows, 1) / rows, np.sqrt(np.arange(1, rows + 1)))

    return Contract()


@pytest.mark.parametrize(
    ("trainer", "test"),
    [
        (Drifting, "test_the_same_stream_gives_the_same_update"),
        (Drifting, "test_a_plain_run_equals_a_loop_written_by_hand"),
        (Drifting, "test_the_gradient_agrees_with_finite_differences"),
        (Meddling, "test_the_gradient_leaves_its_arguments_alone"),
        (Overflowing, "test_the_update_is_one_finite_vector_of_the_architecture"),
        (Trusting, "test_features_of_another_shape_are_refused_before_training"),
        (Trusting, "test_targets_of_another_shape_are_refused_before_training"),
    ],
)
def test_a_wrong_trainer_fails_where_a_good_one_passes(trainer, test):
    getattr(contract(Mean), test)()
    with np.errstate(all="ignore"), pytest.raises(AssertionError):
        getattr(contract(trainer), test)()


def test_labels_that_nobody_checks_fail_the_contract():
    with pytest.raises(AssertionError, match="nothing was refused"):
        contract(Trusting, LabelledTrainerContract).test_the_first_bad_label_is_named_before_training(0)


def test_the_wrong_row_fails_the_contract():
    class Confused(Mean):
        def check(self, _features, targets):
            try:
                require_targets(targets, 1)
            except DataError as error:
                raise DataError(error.reason, error.message, row=4) from error

    with pytest.raises(AssertionError, match="row 4 was named"):
        contract(Confused).test_targets_of_another_shape_are_refused_before_training()
