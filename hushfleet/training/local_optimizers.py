"""The optimisers of local training. A new one is a class here with the same `step`, and a line in `OPTIMIZERS`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hushfleet.documents import LocalTraining

FloatVector = npt.NDArray[np.float64]


class LocalOptimizer(Protocol):
    """Holds what must be remembered between the steps of one training run; fresh for every run."""

    def step(self, parameters: FloatVector, gradient: FloatVector) -> FloatVector:
        """The next parameters (d,), a new array; the arguments (d,) stay as they are."""


class Sgd:
    """Stochastic gradient descent with heavy-ball momentum: v <- momentum v + g, w <- w - learning_rate v, v = 0 at first."""

    def __init__(self, learning_rate: float, momentum: float) -> None:
        self._learning_rate = learning_rate
        self._momentum = momentum
        self._velocity: FloatVector | float = 0.0

    def step(self, parameters: FloatVector, gradient: FloatVector) -> FloatVector:
        """The next parameters (d,), a new array."""
        self._velocity = self._momentum * self._velocity + gradient
        return parameters - self._learning_rate * self._velocity


class Adam:
    """Kingma and Ba 2015, algorithm 1 with its defaults beta2 = 0.999 and epsilon = 1e-8; beta1 is 0.9."""

    def __init__(self, learning_rate: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> None:
        self._learning_rate, self._beta1, self._beta2, self._epsilon = learning_rate, beta1, beta2, epsilon
        self._mean: FloatVector | float = 0.0
        self._square: FloatVector | float = 0.0
        self._steps = 0

    def step(self, parameters: FloatVector, gradient: FloatVector) -> FloatVector:
        """The next parameters (d,), a new array."""
        self._steps += 1
        self._mean = self._beta1 * self._mean + (1 - self._beta1) * gradient
        self._square = self._beta2 * self._square + (1 - self._beta2) * np.square(gradient)
        mean = self._mean / (1 - self._beta1**self._steps)
        square = self._square / (1 - self._beta2**self._steps)
        return parameters - self._learning_rate * mean / (np.sqrt(square) + self._epsilon)


OPTIMIZERS: Mapping[str, Callable[[LocalTraining], LocalOptimizer]] = MappingProxyType(
    {
        "sgd": lambda settings: Sgd(settings.learning_rate, 0.0),
        "momentum": lambda settings: Sgd(settings.learning_rate, settings.momentum),
        "adam": lambda settings: Adam(settings.learning_rate, settings.beta1, settings.beta2, settings.epsilon),
    }
)
"""By the name in `LocalTraining.optimizer`."""


def within_norm(gradient: FloatVector, most: float) -> FloatVector:
    """`gradient` (d,), scaled down to the Euclidean norm `most` if it is longer."""
    norm = float(np.linalg.norm(gradient))
    return gradient * (most / norm) if norm > most else gradient
