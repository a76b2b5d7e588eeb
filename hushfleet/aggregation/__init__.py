"""The steps from an opened sum to the next model: the norm check, the mean update, the global optimiser. All of them are pure.

May import encryption, sharing, privacy, training, documents and the ground floor.
"""

from hushfleet.aggregation.global_optimizers import FedAdam, FedAvg, FedAvgM, GlobalOptimizer, OptimizerState, RunningOptimizer, optimizer
from hushfleet.aggregation.mean import AggregateUpdate, mean_update
from hushfleet.aggregation.norm_check import check_norm

__all__ = [
    "AggregateUpdate",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "GlobalOptimizer",
    "OptimizerState",
    "RunningOptimizer",
    "check_norm",
    "mean_update",
    "optimizer",
]
