"""Local training on a device: flat parameters with named shapes, the `Trainer` interface, one training run.

Imports documents and the ground floor only. A `Trainer` may come from `models`, from a plug-in or from any application:
nothing here knows a model family. A `LocalUpdate` is plain: it has no wire form and goes to `hushfleet.privacy` next.
"""

from hushfleet.training.data import Data, require_classes, require_features, require_targets
from hushfleet.training.optimizer import Optimizer, Sgd
from hushfleet.training.parameters import Architecture, GlobalModel, check_parameters
from hushfleet.training.sampling import uniform
from hushfleet.training.settings import TrainingSettings
from hushfleet.training.trainer import Trainer, train
from hushfleet.training.update import LocalUpdate

__all__ = [
    "Architecture",
    "Data",
    "GlobalModel",
    "LocalUpdate",
    "Optimizer",
    "Sgd",
    "Trainer",
    "TrainingSettings",
    "check_parameters",
    "require_classes",
    "require_features",
    "require_targets",
    "train",
    "uniform",
]
