"""Local training as a job asks for it, a plan carries it and a trainer obeys it: one struct (PROTOCOL 5.1)."""

import math
from typing import Self

from hushfleet.codec import Message
from hushfleet.documents.limits import MAX_COUNTER
from hushfleet.errors import LocalError, Refusal

LOCAL_OPTIMIZERS = ("sgd", "momentum", "adam")


class LocalTraining(Message, frozen=True):
    """A fixed number of steps; privacy holds whatever these are. `make` fills in what is not given.

    `local_steps` >= 1 and `batch_size` >= 1 rows per step; `learning_rate` > 0; `proximal` >= 0 is FedProx's mu, the pull towards the
    global model (Li et al. 2020); `optimizer` is `sgd`, `momentum` (heavy ball) or `adam`; `momentum` in [0, 1), 0 unless the optimiser
    is `momentum`; `beta1`, `beta2` in [0, 1) and `epsilon` > 0 are Adam's (Kingma and Ba 2015) and the defaults of `make` for the
    others; `gradient_norm` > 0 bounds the Euclidean norm of each batch's gradient, for stability, not for privacy; infinity: no bound.
    Raises `LocalError(SETTINGS_INVALID)` naming the field.
    """

    local_steps: int
    batch_size: int
    learning_rate: float
    proximal: float
    optimizer: str
    momentum: float
    beta1: float
    beta2: float
    epsilon: float
    gradient_norm: float

    def __post_init__(self) -> None:
        for field in ("local_steps", "batch_size"):
            _require(_is_count(getattr(self, field)), field, "a whole number from 1", getattr(self, field))
        for field in ("learning_rate", "epsilon"):
            value = getattr(self, field)
            _require(math.isfinite(value) and value > 0, field, "above 0", value)
        _require(math.isfinite(self.proximal) and self.proximal >= 0, "proximal", "at least 0", self.proximal)
        _require(self.optimizer in LOCAL_OPTIMIZERS, "optimizer", "sgd, momentum or adam", self.optimizer)
        for field in ("momentum", "beta1", "beta2"):
            _require(0 <= getattr(self, field) < 1, field, "at least 0 and below 1", getattr(self, field))
        _require(self.optimizer == "momentum" or self.momentum == 0, "momentum", f"0 for {self.optimizer}", self.momentum)
        if self.optimizer != "adam":
            own = (self.beta1, self.beta2, self.epsilon)
            _require(own == _ADAM, "beta1, beta2 and epsilon", f"{_ADAM} for {self.optimizer}", own)
        _require(self.gradient_norm > 0, "gradient_norm", "above 0", self.gradient_norm)

    @classmethod
    def make(
        cls,
        local_steps: int,
        batch_size: int,
        learning_rate: float,
        *,
        proximal: float = 0.0,
        optimizer: str = "sgd",
        momentum: float | None = None,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        gradient_norm: float = math.inf,
    ) -> Self:
        """Settings with defaults; `momentum` is 0.9 for the optimiser of that name. Raises as the constructor."""
        speed = (0.9 if optimizer == "momentum" else 0.0) if momentum is None else momentum
        numbers = (float(number) for number in (speed, beta1, beta2, epsilon, gradient_norm))
        return cls(local_steps, batch_size, float(learning_rate), float(proximal), optimizer, *numbers)


_ADAM = (0.9, 0.999, 1e-8)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_COUNTER


def _require(holds: bool, field: str, wanted: str, value: object) -> None:
    if not holds:
        raise LocalError(Refusal.SETTINGS_INVALID, f"training: {field} must be {wanted}, not {value!r}")
