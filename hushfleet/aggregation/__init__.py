"""What the orchestrator does with an opened sum: release checks, the mean update, the server optimiser. All of it pure.

May import encryption, sharing, privacy, training, documents and the ground floor.
"""

from hushfleet.aggregation.mean import AggregateUpdate, mean_update
from hushfleet.aggregation.optimizers import FedAdam, FedAvg, FedAvgM, Optimizer, OptimizerState, RunningOptimizer, optimizer
from hushfleet.aggregation.release import check_norm

__all__ = [
    "AggregateUpdate",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "Optimizer",
    "OptimizerState",
    "RunningOptimizer",
    "check_norm",
    "mean_update",
    "optimizer",
]
