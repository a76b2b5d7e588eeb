"""The settings that a plan wants its devices to train with."""

import math
from dataclasses import dataclass

from hushfleet.errors import LocalError, Refusal


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """A fixed number of steps; privacy holds whatever these are.

    `local_steps` >= 1 and `batch_size` >= 1 rows per step; `learning_rate` > 0; `momentum` in [0, 1), of `sgd` alone;
    `proximal` >= 0 is FedProx's mu, the pull towards the global model (Li et al. 2020); `optimizer` is `sgd` or `adam`;
    `gradient_norm` > 0 bounds the Euclidean norm of each batch's gradient, for stability, not for privacy.
    Raises `LocalError(SETTINGS_INVALID)` naming the field.
    """

    local_steps: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.0
    proximal: float = 0.0
    optimizer: str = "sgd"
    gradient_norm: float = math.inf

    def __post_init__(self) -> None:
        _require(isinstance(self.local_steps, int) and self.local_steps >= 1, "local_steps", "a whole number from 1", self.local_steps)
        _require(isinstance(self.batch_size, int) and self.batch_size >= 1, "batch_size", "a whole number from 1", self.batch_size)
        _require(math.isfinite(self.learning_rate) and self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)
        _require(0 <= self.momentum < 1, "momentum", "at least 0 and below 1", self.momentum)
        _require(math.isfinite(self.proximal) and self.proximal >= 0, "proximal", "at least 0", self.proximal)
        _require(self.optimizer in ("sgd", "adam"), "optimizer", "sgd or adam", self.optimizer)
        _require(self.optimizer == "sgd" or self.momentum == 0, "momentum", "0 for adam", self.momentum)
        _require(self.gradient_norm > 0, "gradient_norm", "above 0", self.gradient_norm)


def _require(holds: bool, field: str, wanted: str, value: object) -> None:
    if not holds:
        raise LocalError(Refusal.SETTINGS_INVALID, f"training: {field} must be {wanted}, not {value!r}")
