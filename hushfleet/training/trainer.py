"""The interface of a trainable model, and one local training run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hushfleet.documents import LocalTraining
from hushfleet.errors import HushfleetError, LocalError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.training.data import Data
from hushfleet.training.local_optimizers import OPTIMIZERS, FloatVector, within_norm
from hushfleet.training.parameters import Architecture, GlobalModel
from hushfleet.training.sampling import row_numbers
from hushfleet.training.update import LocalUpdate

Array = npt.NDArray[Any]


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


def train(trainer: Trainer, model: GlobalModel, settings: LocalTraining, data: Data, randomness: Randomness) -> LocalUpdate:
    """Run `local_steps` steps from `model` on `data` and return what changed.

    Each step draws `batch_size` rows with replacement, so that neither steps nor draws follow the number of rows
    (PROTOCOL 5.2). The loss of a step is the trainer's plus proximal / 2 |w - w_global|^2; the trainer's gradient is cut to
    `gradient_norm` first. The same arguments and random
    stream give the same update; `randomness` may be seeded, as batches carry no privacy. The update may hold infinities
    or NaN.

    Raises `DataError` before the first step; `LocalError`: `MODEL_SHAPE` if `model` is not of the trainer's architecture,
    `TRAINING_FAILED` for whatever else the trainer raises, with that as its cause.
    """
    if model.dimension != trainer.architecture.dimension:
        message = f"{trainer.architecture.name} has {trainer.architecture.dimension} values, this model {model.dimension}"
        raise LocalError(Refusal.MODEL_SHAPE, message)
    with _failures_of(trainer), np.errstate(all="ignore"):  # divergence is the business of clipping, not of warnings
        trainer.check(data.features, data.targets)
        return _descend(trainer, model, settings, data, randomness)


def _descend(trainer: Trainer, model: GlobalModel, settings: LocalTraining, data: Data, randomness: Randomness) -> LocalUpdate:
    start = model.parameters.astype(np.float64)
    parameters, optimizer = start, OPTIMIZERS[settings.optimizer](settings)
    for _ in range(settings.local_steps):
        rows = row_numbers(randomness, settings.batch_size, len(data))
        parameters.setflags(write=False)
        _, gradient = trainer.gradient(parameters, data.features[rows], data.targets[rows])
        if np.shape(gradient) != start.shape:
            raise ValueError(f"a gradient of shape {np.shape(gradient)} instead of {start.shape}")
        parameters = optimizer.step(parameters, within_norm(gradient, settings.gradient_norm) + settings.proximal * (parameters - start))
    return LocalUpdate(parameters - start)


@contextmanager
def _failures_of(trainer: Trainer) -> Iterator[None]:
    try:
        yield
    except HushfleetError:
        raise
    except Exception as error:
        message = f"{trainer.architecture.name}: training failed: {error!r}"
        raise LocalError(Refusal.TRAINING_FAILED, message) from error
