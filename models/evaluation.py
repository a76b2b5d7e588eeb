"""Predictions and figures of a model on data at hand: on the orchestrator's holdout, never on a device's own rows."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hushfleet.randomness import Randomness
from hushfleet.training import Data, GlobalModel, Trainer
from models.losses import Array, FloatArray, Loss


class Model(Trainer, Protocol):
    """A trainer that can also predict and start from nothing: what every family of the catalogue gives."""

    @property
    def loss(self) -> Loss:
        """The loss that `gradient` minimises."""

    def outputs(self, parameters: FloatArray, features: Array) -> FloatArray:
        """Raw outputs (n, k) at `parameters` (d,), before any softmax or sigmoid."""

    def made_up(self, rows: int) -> tuple[Array, Array]:
        """Features and targets that `check` takes."""

    def initial(self, randomness: Randomness) -> GlobalModel:
        """The model to start from, version 0."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Mean loss, and the share of right answers in [0, 1], or None where the loss knows no right answer."""

    loss: float
    accuracy: float | None


def predict(model: Model, current: GlobalModel, features: Array) -> Array:
    """Class numbers (n,), bits (n, k) or values (n, k), as the model's loss has it."""
    return model.loss.answer(_outputs(model, current, features))


def evaluate(model: Model, current: GlobalModel, data: Data) -> Metrics:
    """Loss and accuracy over all of `data`. Raises `DataError` for data that `model` could not train on."""
    model.check(data.features, data.targets)
    outputs = _outputs(model, current, data.features)
    loss, _ = model.loss.value_and_slope(outputs, data.targets)
    hits = model.loss.hits
    return Metrics(loss, None if hits is None else float(hits(outputs, data.targets).mean()))


def _outputs(model: Model, current: GlobalModel, features: Array) -> FloatArray:
    return model.outputs(current.parameters.astype(np.float64), features)
