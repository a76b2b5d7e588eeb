"""Local training on a device: flat parameters with named shapes, the `Trainer` interface, one training run.

Imports documents and the ground floor only. A `Trainer` may come from `models`, from a plug-in or from any application:
nothing here knows a model family. A `LocalUpdate` is plain: it has no wire form and goes to `hushfleet.privacy` next.
"""

from hushfleet.documents import LocalTraining
from hushfleet.training.data import Data, require_classes, require_features, require_targets
from hushfleet.training.faults import fault_text
from hushfleet.training.global_update import Aggregate, GlobalStep, update_global
from hushfleet.training.local_optimizers import Adam, LocalOptimizer, Sgd
from hushfleet.training.parameters import Architecture, GlobalModel, check_parameters
from hushfleet.training.run import TrainingRun, fetch_update, start_training
from hushfleet.training.sampling import uniform
from hushfleet.training.trainer import MakesUpRows, Trainer, is_from_keyboard, train, train_regardless
from hushfleet.training.update import LocalUpdate

__all__ = [
    "Adam",
    "Aggregate",
    "Architecture",
    "Data",
    "GlobalModel",
    "GlobalStep",
    "LocalOptimizer",
    "LocalTraining",
    "LocalUpdate",
    "MakesUpRows",
    "Sgd",
    "Trainer",
    "TrainingRun",
    "check_parameters",
    "fault_text",
    "fetch_update",
    "is_from_keyboard",
    "require_classes",
    "require_features",
    "require_targets",
    "start_training",
    "train",
    "train_regardless",
    "uniform",
    "update_global",
]
