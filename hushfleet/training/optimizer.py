"""The optimiser of local training. A new one is a class here with the same `step`."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatVector = npt.NDArray[np.float64]


class Optimizer(Protocol):
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
