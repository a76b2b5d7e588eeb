"""Global optimisers: how a mean update becomes the next global model.

Pure, and made of single elementwise IEEE operations (no sums, no products of matrices, no powers), so that an auditor on
another machine gets the same bits.
"""

import math
from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.labels import concatenated

FloatVector = npt.NDArray[np.float64]

_HEADER_BYTES = 8
_MAX_MOMENTS = 2


@dataclass(frozen=True, slots=True, eq=False)
class OptimizerState:
    """The part of an optimiser that goes from round to round: its moments, float64 `(d,)` each, none before the first step.

    Raises `LocalError(SETTINGS_INVALID)` if a moment is not `(d,)`, `PeerError(MODEL_NOT_FINITE)` if one is not finite.
    """

    dimension: int
    moments: tuple[FloatVector, ...] = ()

    def __post_init__(self) -> None:
        own = tuple(np.array(moment, dtype=np.float64) for moment in self.moments)
        for moment in own:
            _check(moment, self.dimension, "a moment")
            moment.flags.writeable = False
        object.__setattr__(self, "moments", own)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OptimizerState) and self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    @classmethod
    def initial(cls, dimension: int) -> Self:
        """The state before the first step, of every optimiser."""
        return cls(dimension)

    def to_bytes(self) -> bytes:
        """u32 big-endian d, u32 big-endian number of moments, then the moments as little-endian float64."""
        header = concatenated((self.dimension, len(self.moments)), 4)
        return header + b"".join(moment.astype("<f8").tobytes() for moment in self.moments)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`. Raises `PeerError`: `MESSAGE_MALFORMED`, `MODEL_NOT_FINITE`."""
        dimension, count = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:_HEADER_BYTES], "big")
        if count > _MAX_MOMENTS or len(data) != _HEADER_BYTES + 8 * dimension * count:
            raise PeerError(Refusal.MESSAGE_MALFORMED, f"{len(data)} bytes are no state of {count} moments of {dimension} values")
        rows = np.frombuffer(data, dtype="<f8", offset=_HEADER_BYTES).reshape(count, dimension)
        return cls(dimension, tuple(rows.astype(np.float64)))


class GlobalOptimizer(Protocol):
    """A global optimiser. `name` and `settings` make it again through `optimizer`."""

    name: ClassVar[str]

    def settings(self) -> dict[str, float]:
        """Its settings by name."""

    def step(self, state: OptimizerState, parameters: FloatVector, mean_update: FloatVector) -> tuple[OptimizerState, FloatVector]:
        """The next state and the next parameters, float64 `(d,)`; the arguments stay as they are.

        The new parameters may be too large or not finite: `check_parameters` decides. Raises `LocalError(SETTINGS_INVALID)` for
        shapes that disagree or the state of another optimiser, `PeerError(MODEL_NOT_FINITE)` for arguments (or moments)
        that are not finite.
        """


class RunningOptimizer:
    """An optimiser with its current state, as `hushfleet.training.update_global` takes it. Not for two threads at once."""

    def __init__(self, optimizer: GlobalOptimizer, state: OptimizerState) -> None:
        self._optimizer, self.state = optimizer, state

    def __call__(self, parameters: FloatVector, mean_update: FloatVector) -> FloatVector:
        """Take one step; `state` is then the next one. Raises as `GlobalOptimizer.step`, with `state` as it was."""
        self.state, stepped = self._optimizer.step(self.state, parameters, mean_update)
        return stepped


@dataclass(frozen=True, slots=True)
class FedAvg:
    """x + learning_rate * u for the mean update u (McMahan et al. 2017; uniform weights). learning_rate > 0."""

    name: ClassVar[str] = "fedavg"
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        _require_positive("learning_rate", self.learning_rate)

    def settings(self) -> dict[str, float]:
        """Its settings by name."""
        return asdict(self)

    def step(self, state: OptimizerState, parameters: FloatVector, mean_update: FloatVector) -> tuple[OptimizerState, FloatVector]:
        """As `GlobalOptimizer.step`; carries nothing from round to round."""
        x, u, _ = _checked(state, parameters, mean_update, ())
        with np.errstate(over="ignore"):
            return state, x + self.learning_rate * u


@dataclass(frozen=True, slots=True)
class FedAvgM:
    """v = momentum * v + u, then x + learning_rate * v (Hsu et al. 2019). 0 <= momentum < 1, learning_rate > 0."""

    name: ClassVar[str] = "fedavgm"
    momentum: float = 0.8
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        _require_fraction("momentum", self.momentum)
        _require_positive("learning_rate", self.learning_rate)

    def settings(self) -> dict[str, float]:
        """Its settings by name."""
        return asdict(self)

    def step(self, state: OptimizerState, parameters: FloatVector, mean_update: FloatVector) -> tuple[OptimizerState, FloatVector]:
        """As `GlobalOptimizer.step`; carries the velocity v, 0 at first."""
        x, u, (v,) = _checked(state, parameters, mean_update, (0.0,))
        with np.errstate(over="ignore"):
            v = self.momentum * v + u
            return OptimizerState(state.dimension, (v,)), x + self.learning_rate * v


@dataclass(frozen=True, slots=True)
class FedAdam:
    """m = beta1 m + (1 - beta1) u; v = beta2 v + (1 - beta2) u^2; x + learning_rate m / (sqrt(v) + tau).

    Reddi et al. 2021, algorithm 2: no bias correction, m = 0 and v = tau^2 at first. 0 <= beta1, beta2 < 1; tau,
    learning_rate > 0.
    """

    name: ClassVar[str] = "fedadam"
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3
    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        _require_fraction("beta1", self.beta1)
        _require_fraction("beta2", self.beta2)
        _require_positive("tau", self.tau)
        _require_positive("learning_rate", self.learning_rate)

    def settings(self) -> dict[str, float]:
        """Its settings by name."""
        return asdict(self)

    def step(self, state: OptimizerState, parameters: FloatVector, mean_update: FloatVector) -> tuple[OptimizerState, FloatVector]:
        """As `GlobalOptimizer.step`; carries m and v."""
        x, u, (m, v) = _checked(state, parameters, mean_update, (0.0, self.tau * self.tau))
        with np.errstate(over="ignore"):
            m = self.beta1 * m + (1.0 - self.beta1) * u
            v = self.beta2 * v + (1.0 - self.beta2) * (u * u)
            return OptimizerState(state.dimension, (m, v)), x + self.learning_rate * m / (np.sqrt(v) + self.tau)


_KINDS: dict[str, type[FedAvg | FedAvgM | FedAdam]] = {kind.name: kind for kind in (FedAvg, FedAvgM, FedAdam)}


def optimizer(name: str, /, **settings: float) -> GlobalOptimizer:
    """The optimiser called `name` (fedavg, fedavgm, fedadam); settings not given keep their defaults.

    Raises `LocalError(SETTINGS_INVALID)` for an unknown name or setting, or a setting out of range.
    """
    if name not in _KINDS:
        raise LocalError(Refusal.SETTINGS_INVALID, f"there is no optimiser {name!r}", next_step=f"Choose one of {', '.join(_KINDS)}.")
    known = [field.name for field in fields(_KINDS[name])]
    if unknown := sorted(set(settings) - set(known)):
        raise LocalError(Refusal.SETTINGS_INVALID, f"{name} has no setting {', '.join(unknown)}", next_step=f"It has {', '.join(known)}.")
    return _KINDS[name](**settings)


def _checked(
    state: OptimizerState, parameters: FloatVector, mean_update: FloatVector, initial: tuple[float, ...]
) -> tuple[FloatVector, FloatVector, tuple[FloatVector, ...]]:
    _check(parameters, state.dimension, "the parameters")
    _check(mean_update, state.dimension, "the mean update")
    moments = state.moments or tuple(np.full(state.dimension, value) for value in initial)
    if len(moments) != len(initial):
        raise LocalError(Refusal.SETTINGS_INVALID, f"the state has {len(moments)} moments, this optimiser carries {len(initial)}")
    return parameters, mean_update, moments


def _check(vector: FloatVector, dimension: int, what: str) -> None:
    if vector.shape != (dimension,) or vector.dtype != np.float64:
        raise LocalError(Refusal.SETTINGS_INVALID, f"{what} must be float64 ({dimension},), not {vector.dtype} {vector.shape}")
    if not np.all(np.isfinite(vector)):
        raise PeerError(Refusal.MODEL_NOT_FINITE, f"{what} of the global optimiser must be finite")


def _require_positive(name: str, value: float) -> None:
    if not (_is_number(value) and math.isfinite(value) and value > 0):
        raise LocalError(Refusal.SETTINGS_INVALID, f"{name} = {value!r} must be above 0", next_step=f"Set {name} to a positive number.")


def _require_fraction(name: str, value: float) -> None:
    if not (_is_number(value) and 0 <= value < 1):
        raise LocalError(Refusal.SETTINGS_INVALID, f"{name} = {value!r} must lie in [0, 1)", next_step=f"Set {name} below 1, say to 0.9.")


def _is_number(value: object) -> bool:
    # Settings come from TOML, where true and "0.1" are easily written for a number.
    return isinstance(value, int | float) and not isinstance(value, bool)
