"""Settings, sampling and what `train` does with a trainer that misbehaves; the rest is the trainer contract."""

import math

import numpy as np
import pytest

from hushfleet.codec import decode, encode
from hushfleet.errors import DataError, LocalError, PeerError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.training import Architecture, Data, GlobalModel, LocalTraining, Sgd, train, uniform
from hushfleet.training.sampling import row_numbers
from tests.support.refusals import refused

GOOD = {"local_steps": 3, "batch_size": 2, "learning_rate": 0.1}


class Slope:
    """One value whose gradient a test chooses."""

    architecture = Architecture("slope", (("w", (1,)),), "none", b"slope")

    def __init__(self, gradient=lambda _: np.ones(1)) -> None:
        self._gradient = gradient

    def check(self, _features, _targets):
        pass

    def gradient(self, parameters, _features, _targets):
        return 0.0, self._gradient(parameters)


def run(trainer, **settings: float):
    data, model = Data(np.ones((4, 1)), np.ones(4)), GlobalModel(0, np.zeros(1))
    return train(trainer, model, LocalTraining.make(**GOOD | settings), data, SeededRandomness(b"")).vector


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("local_steps", value) for value in (0, -1, 1.5)),
        *(("batch_size", value) for value in (0, -1, 2.0)),
        *(("learning_rate", value) for value in (0.0, -0.1, math.nan, math.inf)),
        *(("momentum", value) for value in (-0.1, 1.0, math.nan, 0.5)),
        *((beta, value) for beta in ("beta1", "beta2") for value in (-0.1, 1.0, math.nan, 0.5)),
        *(("epsilon", value) for value in (0.0, math.inf, math.nan, 1e-3)),
        *(("proximal", value) for value in (-0.1, math.nan, math.inf)),
        *(("optimizer", value) for value in ("", "lion")),
        *(("gradient_norm", value) for value in (0.0, -1.0, math.nan)),
    ],
)
def test_settings_out_of_range_are_refused_by_name(field, value):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        LocalTraining.make(**GOOD | {field: value})
    with pytest.raises(LocalError, match=field):
        LocalTraining.make(**GOOD | {field: value})


def test_the_edges_of_the_ranges_are_allowed():
    settings = LocalTraining.make(local_steps=1, batch_size=1, learning_rate=1e-9, momentum=0.0, proximal=0.0)
    assert settings.momentum == settings.proximal == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_momentum_belongs_to_the_optimiser_of_that_name(optimizer):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        LocalTraining.make(**GOOD, momentum=0.9, optimizer=optimizer)
    assert LocalTraining.make(**GOOD, optimizer="momentum").momentum == 0.9


def test_settings_that_arrive_are_checked_by_the_same_constructor_and_the_fault_is_the_senders():
    good = LocalTraining.make(**GOOD)
    data = encode(good)
    assert decode(LocalTraining, data, max_bytes=1000) == good
    for step, wrong in ((b"\x03", b"\x00"), (b"\xa3sgd", b"\xa3sgx")):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            decode(LocalTraining, data.replace(step, wrong), max_bytes=1000)


def test_adam_walks_a_constant_slope_in_steps_of_the_learning_rate():
    np.testing.assert_allclose(run(Slope(lambda _: np.full(1, 1e3)), optimizer="adam"), [-0.3])


def test_the_gradient_is_cut_but_not_stretched():
    assert run(Slope(lambda _: np.full(1, -40.0)), gradient_norm=2.0) == pytest.approx([0.6])
    assert run(Slope(), gradient_norm=2.0) == pytest.approx([-0.3])


def test_steps_of_a_constant_slope_add_up():
    np.testing.assert_allclose(run(Slope()), [-0.3])


def test_momentum_of_a_constant_slope():
    np.testing.assert_allclose(run(Slope(), optimizer="momentum", momentum=0.5), [-0.1 * (1 + 1.5 + 1.75)])


def test_the_proximal_term_of_a_constant_slope():
    np.testing.assert_allclose(run(Slope(), proximal=2.0, local_steps=2), [-0.1 - 0.1 * (1 - 0.2)])


def test_the_velocity_starts_at_zero_in_every_run():
    sgd = Sgd(1.0, 0.5)
    assert sgd.step(np.zeros(1), np.ones(1)).tolist() == [-1]
    assert sgd.step(np.zeros(1), np.ones(1)).tolist() == [-1.5]
    assert Sgd(1.0, 0.5).step(np.zeros(1), np.ones(1)).tolist() == [-1]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308])
def test_a_diverging_run_gives_an_update_that_is_not_finite_and_no_warning(value):
    assert not np.isfinite(run(Slope(lambda _: np.array([value])), learning_rate=10.0)).all()


def test_whatever_else_a_trainer_raises_becomes_a_failed_training():
    def broken(_parameters):
        return 1 / 0

    with refused(Refusal.TRAINING_FAILED, LocalError):
        run(Slope(broken))
    with pytest.raises(LocalError, match="ZeroDivisionError") as caught:
        run(Slope(broken))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("shape", [(), (2,), (1, 1)])
def test_a_gradient_of_another_shape_is_a_failed_training(shape):
    with refused(Refusal.TRAINING_FAILED, LocalError):
        run(Slope(lambda _: np.ones(shape)))


def test_a_trainer_that_writes_into_the_parameters_is_stopped():
    def greedy(parameters):
        parameters += 1
        return parameters

    with refused(Refusal.TRAINING_FAILED, LocalError):
        run(Slope(greedy))


def test_a_refusal_of_the_trainers_own_passes_through():
    class Choosy(Slope):
        def check(self, _features, _targets):
            raise DataError(Refusal.DATA_LABEL, "row 1", row=1)

    with refused(Refusal.DATA_LABEL, DataError):
        run(Choosy())


def test_uniform_numbers_fill_the_unit_interval():
    draws = uniform(SeededRandomness(b"uniform"), 20_000)
    assert draws.min() >= 0
    assert draws.max() < 1
    counts, _ = np.histogram(draws, bins=10, range=(0, 1))
    assert np.abs(counts - 2000).max() < 6 * math.sqrt(1800)


class Fixed:
    """Octets that are all the same."""

    def __init__(self, octet) -> None:
        self._octet = octet

    def octets(self, count):
        return bytes([self._octet]) * count


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 1000, 2**31 + 11, 2**52 + 1])
def test_extreme_draws_stay_inside_the_rows(rows):
    assert row_numbers(Fixed(0), 1, rows).tolist() == [0]
    assert row_numbers(Fixed(255), 1, rows).tolist() == [rows - 1]


def test_every_row_is_drawn_about_equally_often():
    counts = np.bincount(row_numbers(SeededRandomness(b"rows"), 21_000, 7), minlength=7)
    assert counts.shape == (7,)
    assert np.abs(counts - 3000).max() < 6 * math.sqrt(3000 * 6 / 7)
