"""The orchestrator's side of training: from the mean update of a cohort to the next version of the model."""

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hushfleet.training.parameters import GlobalModel, check_parameters

FloatVector = npt.NDArray[np.float64]


class Aggregate(Protocol):
    """The mean update of a cohort; `hushfleet.aggregation.AggregateUpdate` is one."""

    @property
    def mean(self) -> FloatVector:
        """The mean update (d,)."""


class GlobalStep(Protocol):
    """One step from parameters and a mean update to new parameters; `hushfleet.aggregation.RunningOptimizer` is one."""

    def __call__(self, parameters: FloatVector, mean_update: FloatVector) -> FloatVector:
        """New parameters (d,)."""


def update_global(model: GlobalModel, aggregate: Aggregate, optimizer: GlobalStep, *, max_abs: float = math.inf) -> GlobalModel:
    """The next version of `model`. Raises `PeerError` as `check_parameters` if a value is not finite or above `max_abs`."""
    parameters = optimizer(model.parameters.astype(np.float64), aggregate.mean)
    check_parameters(parameters, max_abs)
    return GlobalModel(model.version + 1, parameters.astype(np.float32))
