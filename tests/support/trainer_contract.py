"""What every `Trainer` must do. A test class inherits `TrainerContract` and says which trainer and which data."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from hushfleet.errors import DataError, LocalError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.training import Architecture, Data, GlobalModel, LocalTraining, Trainer, train, uniform
from hushfleet.training.sampling import row_numbers
from tests.support.refusals import refused

Array = npt.NDArray[Any]


@contextmanager
def naming_row(row: int | None) -> Iterator[None]:
    """The `DataError` that leaves the block must name `row`."""
    try:
        yield
    except DataError as error:
        assert error.row == row, f"row {error.row} was named instead of {row}"  # noqa: PT017 -- this is the assertion helper itself
        raise


@dataclass
class Recorder:
    """A trainer that passes everything on to `inner` and keeps what it saw. `factor` falsifies the gradient."""

    inner: Trainer
    factor: float = 1.0
    batches: list[tuple[Array, Array]] = field(default_factory=list)

    @property
    def architecture(self) -> Architecture:
        return self.inner.architecture

    def check(self, features: Array, targets: Array) -> None:
        self.inner.check(features, targets)

    def gradient(self, parameters: Array, features: Array, targets: Array) -> tuple[float, Array]:
        self.batches.append((features, targets))
        loss, gradient = self.inner.gradient(parameters, features, targets)
        return loss, self.factor * gradient


class CountingRandomness(SeededRandomness):
    """Counts the octets that are taken."""

    taken = 0

    def octets(self, count: int) -> bytes:
        self.taken += count
        return super().octets(count)


def check_gradient(trainer: Trainer, parameters: Array, data: Data, *, step: float, tolerance: float) -> None:
    """Central differences along every coordinate; the error may be `tolerance` of the largest component."""
    _, gradient = trainer.gradient(parameters, data.features, data.targets)
    assert gradient.shape == parameters.shape
    expected = np.empty_like(parameters)
    for i in range(len(parameters)):
        ahead, behind = parameters.copy(), parameters.copy()
        ahead[i] += step
        behind[i] -= step
        above, below = (trainer.gradient(w, data.features, data.targets)[0] for w in (ahead, behind))
        expected[i] = (above - below) / (2 * step)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=tolerance * np.abs(expected).max())


class TrainerContract:
    """Override `trainer` and `data`; loosen the tolerances for a trainer that computes in float32."""

    difference_step = 1e-5
    tolerance = 1e-6
    update_tolerance = 1e-12
    adam_tolerance = 1e-9
    settings = LocalTraining.make(local_steps=6, batch_size=4, learning_rate=0.05)

    def trainer(self) -> Trainer:
        raise NotImplementedError

    def data(self, rows: int) -> Data:
        """`rows` good rows; the same rows for the same number."""
        raise NotImplementedError

    def start(self) -> GlobalModel:
        """Any model away from zero, so that no derivative vanishes by accident."""
        draws = uniform(SeededRandomness(b"contract start"), self.trainer().architecture.dimension)
        return GlobalModel(3, (draws - 0.5).astype(np.float32))

    def update(self, settings: LocalTraining, *, seed: bytes = b"contract batches") -> Array:
        return train(self.trainer(), self.start(), settings, self.data(12), SeededRandomness(seed)).vector

    def by_hand(self, settings: LocalTraining) -> Array:
        """SGD with momentum and the proximal term as one plain loop."""
        trainer, data, randomness = self.trainer(), self.data(12), SeededRandomness(b"contract batches")
        start = self.start().parameters.astype(np.float64)
        parameters, velocity = start.copy(), np.zeros_like(start)
        for _ in range(settings.local_steps):
            rows = row_numbers(randomness, settings.batch_size, 12)
            _, gradient = trainer.gradient(parameters, data.features[rows], data.targets[rows])
            velocity = settings.momentum * velocity + gradient + settings.proximal * (parameters - start)
            parameters = parameters - settings.learning_rate * velocity
        return parameters - start

    def adam_by_hand(self, settings: LocalTraining) -> Array:
        """Adam with its textbook constants as one plain loop."""
        trainer, data, randomness = self.trainer(), self.data(12), SeededRandomness(b"contract batches")
        start = self.start().parameters.astype(np.float64)
        parameters, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
        for step in range(1, settings.local_steps + 1):
            rows = row_numbers(randomness, settings.batch_size, 12)
            _, gradient = trainer.gradient(parameters, data.features[rows], data.targets[rows])
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            ahead = (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
            parameters = parameters - settings.learning_rate * ahead
        return parameters - start

    def with_(self, **changes: float | str) -> LocalTraining:
        return msgspec.structs.replace(self.settings, **changes)

    def refuses(self, data: Data, reason: Refusal, *, row: int) -> None:
        recorder = Recorder(self.trainer())
        with refused(reason, DataError), naming_row(row):
            train(recorder, self.start(), self.settings, data, SeededRandomness(b""))
        assert not recorder.batches

    def test_the_same_stream_gives_the_same_update(self) -> None:
        assert self.update(self.settings).tobytes() == self.update(self.settings).tobytes()

    def test_another_stream_gives_another_update(self) -> None:
        assert self.update(self.settings).tobytes() != self.update(self.settings, seed=b"another").tobytes()

    def test_the_gradient_agrees_with_finite_differences(self) -> None:
        parameters = self.start().parameters.astype(np.float64)
        check_gradient(self.trainer(), parameters, self.data(5), step=self.difference_step, tolerance=self.tolerance)

    def test_finite_differences_notice_a_wrong_gradient(self) -> None:
        parameters, wrong = self.start().parameters.astype(np.float64), Recorder(self.trainer(), factor=1.01)
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            check_gradient(wrong, parameters, self.data(5), step=self.difference_step, tolerance=self.tolerance)

    @pytest.mark.parametrize("rows", [1, 7, 40])
    def test_steps_batches_and_draws_do_not_follow_the_number_of_rows(self, rows: int) -> None:
        recorder, randomness = Recorder(self.trainer()), CountingRandomness(b"counted")
        train(recorder, self.start(), self.settings, self.data(rows), randomness)
        assert [len(features) for features, _ in recorder.batches] == [4] * 6
        assert [len(targets) for _, targets in recorder.batches] == [4] * 6
        assert randomness.taken == 8 * 4 * 6

    def test_a_plain_run_equals_a_loop_written_by_hand(self) -> None:
        np.testing.assert_allclose(self.update(self.settings), self.by_hand(self.settings), rtol=0, atol=self.update_tolerance)

    def test_momentum_equals_a_loop_written_by_hand(self) -> None:
        settings = self.with_(optimizer="momentum", momentum=0.9)
        np.testing.assert_allclose(self.update(settings), self.by_hand(settings), rtol=0, atol=self.update_tolerance)
        assert not np.allclose(self.update(settings), self.by_hand(self.settings), rtol=0, atol=1e-6)

    def test_the_proximal_term_pulls_towards_the_global_model(self) -> None:
        settings = self.with_(proximal=2.0)
        pulled = self.update(settings)
        np.testing.assert_allclose(pulled, self.by_hand(settings), rtol=0, atol=self.update_tolerance)
        assert np.linalg.norm(pulled) < np.linalg.norm(self.update(self.settings))

    def test_adam_equals_a_loop_written_by_hand(self) -> None:
        settings = self.with_(optimizer="adam", learning_rate=0.01)
        np.testing.assert_allclose(self.update(settings), self.adam_by_hand(settings), rtol=0, atol=self.adam_tolerance)
        assert not np.allclose(self.update(settings), self.by_hand(settings), rtol=0, atol=1e-4)

    def test_long_gradients_are_cut(self) -> None:
        whole, bound = self.update(self.with_(local_steps=1)), 1e-3
        cut = self.update(self.with_(local_steps=1, gradient_norm=bound))
        wanted = whole * (self.settings.learning_rate * bound / np.linalg.norm(whole))
        np.testing.assert_allclose(cut, wanted, rtol=0, atol=self.update_tolerance)

    def test_nothing_that_was_given_is_changed(self) -> None:
        model, data = self.start(), self.data(12)
        before = (model.to_bytes(), data.features.tobytes(), data.targets.tobytes())
        train(self.trainer(), model, self.settings, data, SeededRandomness(b""))
        assert before == (model.to_bytes(), data.features.tobytes(), data.targets.tobytes())

    def test_the_gradient_leaves_its_arguments_alone(self) -> None:
        parameters, data = self.start().parameters.astype(np.float64), self.data(5)
        before = parameters.copy()
        first = self.trainer().gradient(parameters, data.features, data.targets)[1].copy()
        np.testing.assert_array_equal(parameters, before)
        np.testing.assert_array_equal(first, self.trainer().gradient(parameters, data.features, data.targets)[1])

    def test_the_update_is_one_finite_vector_of_the_architecture(self) -> None:
        update = self.update(self.settings)
        assert update.shape == (self.trainer().architecture.dimension,)
        assert update.dtype == np.float64
        assert np.isfinite(update).all()
        assert np.any(update)

    def test_empty_data_are_refused(self) -> None:
        data = self.data(1)
        with refused(Refusal.DATA_EMPTY, DataError):
            Data(data.features[:0], data.targets[:0])

    def test_the_row_that_is_not_finite_is_named(self) -> None:
        data = self.data(5)
        features = np.array(data.features, dtype=np.float64)
        features.reshape(5, -1)[3, 0] = np.nan
        with refused(Refusal.DATA_NOT_FINITE, DataError), naming_row(3):
            Data(features, data.targets)

    def test_features_of_another_shape_are_refused_before_training(self) -> None:
        data = self.data(5)
        wide = Data(np.concatenate([data.features, data.features], axis=-1), data.targets)
        self.refuses(wide, Refusal.DATA_SHAPE, row=0)

    def test_targets_of_another_shape_are_refused_before_training(self) -> None:
        data = self.data(5)
        wide = Data(data.features, np.column_stack([data.targets, data.targets]))
        self.refuses(wide, Refusal.DATA_SHAPE, row=0)

    def test_a_model_of_another_architecture_is_refused(self) -> None:
        longer = GlobalModel(0, np.zeros(self.trainer().architecture.dimension + 1, dtype=np.float32))
        with refused(Refusal.MODEL_SHAPE, LocalError):
            train(self.trainer(), longer, self.settings, self.data(3), SeededRandomness(b""))


class LabelledTrainerContract(TrainerContract):
    """For trainers whose targets are labels: override `bad_label` with one that no target may have."""

    bad_label: float

    @pytest.mark.parametrize("row", [0, 2, 5])
    def test_the_first_bad_label_is_named_before_training(self, row: int) -> None:
        data = self.data(6)
        for label in (self.bad_label, -1, 0.5):
            targets = np.array(data.targets, dtype=np.float64)
            targets.reshape(6, -1)[row:, 0] = label
            self.refuses(Data(data.features, targets), Refusal.DATA_LABEL, row=row)
