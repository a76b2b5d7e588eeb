"""The interface of a trainable model, and one local training run."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hushfleet.documents import LocalTraining
from hushfleet.errors import DataError, HushfleetError, LocalError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.training.data import Data
from hushfleet.training.faults import as_failure
from hushfleet.training.local_optimizers import OPTIMIZERS, FloatVector, within_norm
from hushfleet.training.parameters import Architecture, GlobalModel
from hushfleet.training.sampling import row_numbers
from hushfleet.training.update import LocalUpdate

Array = npt.NDArray[Any]

STAND_IN_ROWS = 64
"""The number of made-up rows. It changes neither the number of steps nor that of the draws."""


class Trainer(Protocol):
    """The interface of a model that can be trained in a fleet; anything with these three members will do."""

    @property
    def architecture(self) -> Architecture:
        """Shapes, loss and training graph; never changes."""

    def gradient(self, parameters: FloatVector, features: Array, targets: Array) -> tuple[float, FloatVector]:
        """The mean loss over one batch and its gradient (d,) at `parameters` (d,), which stay as they are.

        Deterministic: no dropout, no state from batch to batch. `features` and `targets` hold rows that passed `check`.
        """

    def check(self, features: Array, targets: Array) -> None:
        """Raise `DataError` with the first row that this model cannot train on. n >= 1 rows, finite already."""


@runtime_checkable
class MakesUpRows(Protocol):
    """A trainer that knows the shape of its rows: it can be kept busy without data (PROTOCOL 5.2)."""

    def made_up(self, rows: int) -> tuple[Array, Array]:
        """Features and targets of `rows` rows that pass `check`, the same whatever the data are."""


def train(trainer: Trainer, model: GlobalModel, settings: LocalTraining, data: Data, randomness: Randomness) -> LocalUpdate:
    """Run `local_steps` steps from `model` on `data` and return what changed.

    Each step draws `batch_size` rows with replacement, so that neither steps nor draws follow the number of rows
    (PROTOCOL 5.2). The loss of a step is the trainer's plus proximal / 2 |w - w_global|^2; the trainer's gradient is cut to
    `gradient_norm` first. The same arguments and random
    stream give the same update; `randomness` may be seeded, as batches carry no privacy. The update may hold infinities
    or NaN.

    Raises `DataError` before the first step, as all of `data` is checked: a device, whose time must not follow its data, calls
    `train_regardless`. Raises `LocalError`: `MODEL_SHAPE` if `model` is not of the trainer's architecture,
    `TRAINING_FAILED` for whatever else the trainer raises, with that as its cause.
    """
    _require_fit(trainer, model)
    with _failures_of(trainer):
        with np.errstate(all="ignore"):
            trainer.check(data.features, data.targets)
        return _descend(model, settings, _Batches(trainer, data, settings.batch_size, randomness).gradient)


def train_regardless(
    trainer: Trainer, model: GlobalModel, settings: LocalTraining, data: Data | None, randomness: Randomness
) -> LocalUpdate | HushfleetError:
    """Run as many steps with the same work in each, whatever the data are: the update, or the reason why there is none.

    `data` None: there is nothing to train on, and the steps run on made-up rows. Each batch is checked as it is drawn; what cannot be
    trained on, and whatever reading or training raises, a BaseException included, turns the rest of the run to made-up rows. So the
    number of batches, checks and gradients is the same with and without data, for few rows and many, in good order and in bad.
    Raises `LocalError(MODEL_SHAPE)`, which follows from the plan alone, and KeyboardInterrupt in the main thread.
    """
    _require_fit(trainer, model)
    steps = _RegardlessSteps(trainer, data, settings.batch_size, randomness)
    update = _descend(model, settings, steps.gradient)
    if steps.problem is not None:
        return steps.problem
    return update if data is not None else DataError(Refusal.DATA_EMPTY, "there are no data to train on")


def _require_fit(trainer: Trainer, model: GlobalModel) -> None:
    if model.dimension != trainer.architecture.dimension:
        message = f"{trainer.architecture.name} has {trainer.architecture.dimension} values, this model {model.dimension}"
        raise LocalError(Refusal.MODEL_SHAPE, message)


class _Batches:
    """The batches of one run: a gradient on rows drawn with replacement."""

    def __init__(self, trainer: Trainer, data: Data, batch_size: int, randomness: Randomness) -> None:
        self.trainer, self.data, self.batch_size, self.randomness = trainer, data, batch_size, randomness

    def rows(self) -> tuple[Array, Array]:
        """The features and targets of the next batch."""
        numbers = row_numbers(self.randomness, self.batch_size, len(self.data))
        return self.data.features[numbers], self.data.targets[numbers]

    def gradient(self, parameters: FloatVector) -> FloatVector:
        """The gradient (d,) on the next batch."""
        return self.gradient_on(parameters, *self.rows())

    def gradient_on(self, parameters: FloatVector, features: Array, targets: Array) -> FloatVector:
        """The gradient (d,) on these rows. ValueError for any other shape."""
        _, gradient = self.trainer.gradient(parameters, features, targets)
        if np.shape(gradient) != parameters.shape:
            raise ValueError(f"a gradient of shape {np.shape(gradient)} instead of {parameters.shape}")
        return np.asarray(gradient, dtype=np.float64)


class _RegardlessSteps:
    """The batches of a run that goes on to its end: one drawn, checked and used a step. `problem` is the first thing that went wrong."""

    def __init__(self, trainer: Trainer, data: Data | None, batch_size: int, randomness: Randomness) -> None:
        self.problem: HushfleetError | None = None
        self._stand_in = _Batches(trainer, stand_in(trainer, data), batch_size, randomness)
        self._batches = self._stand_in if data is None else _Batches(trainer, data, batch_size, randomness)

    def gradient(self, parameters: FloatVector) -> FloatVector:
        """The gradient on the next batch, or a zero (d,) where there is none."""
        try:
            features, targets = self._batches.rows()
            self._batches.trainer.check(features, targets)
            return self._batches.gradient_on(parameters, features, targets)
        except BaseException as error:  # a library's panic or exit must not tell about the data (PROTOCOL 5.2)
            if is_from_keyboard(error):
                raise
            self._note(error)
        return np.zeros_like(parameters)

    def _note(self, error: BaseException) -> None:
        if self.problem is None:
            known = error.at() if isinstance(error, DataError) else error  # a row of a batch means nothing to anybody
            self.problem = as_failure(known, f"training {self._batches.trainer.architecture.name}")
        self._batches = self._stand_in


def is_from_keyboard(error: BaseException) -> bool:
    """True for Ctrl-C, which reaches the main thread only; elsewhere a KeyboardInterrupt is some library's own."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def stand_in(trainer: Trainer, data: Data | None) -> Data:
    """Made-up rows for `trainer`: its own where it makes some up; else of the shapes of `data`, or of the model's values in a row."""
    if isinstance(trainer, MakesUpRows):
        return Data(*trainer.made_up(STAND_IN_ROWS))
    features = data.features.shape[1:] if data is not None else (trainer.architecture.dimension,)
    targets = data.targets.shape[1:] if data is not None else ()
    return Data(np.zeros((STAND_IN_ROWS, *features)), np.zeros((STAND_IN_ROWS, *targets)))


class _Gradient(Protocol):
    def __call__(self, parameters: FloatVector) -> FloatVector: ...


def _descend(model: GlobalModel, settings: LocalTraining, gradient_at: _Gradient) -> LocalUpdate:
    start = model.parameters.astype(np.float64)
    parameters, optimizer = start, OPTIMIZERS[settings.optimizer](settings)
    with np.errstate(all="ignore"):  # divergence is the business of clipping, not of warnings
        for _ in range(settings.local_steps):
            parameters.setflags(write=False)
            gradient = gradient_at(parameters)
            pull = settings.proximal * (parameters - start)
            parameters = optimizer.step(parameters, within_norm(gradient, settings.gradient_norm) + pull)
    return LocalUpdate(parameters - start)


@contextmanager
def _failures_of(trainer: Trainer) -> Iterator[None]:
    try:
        yield
    except HushfleetError:
        raise
    except Exception as error:
        raise as_failure(error, f"training {trainer.architecture.name}") from error
