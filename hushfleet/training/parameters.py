"""A model as the protocol sees it: an architecture (named shapes, loss, training graph) and a flat vector of values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.ids import Digest
from hushfleet.labels import Label, labelled_hash, length_prefixed, sha256, unsigned

Shape = tuple[int, ...]
Values = npt.NDArray[np.float32] | npt.NDArray[np.float64]

F = TypeVar("F", np.float32, np.float64)

_WIRE_TYPE = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class Architecture:
    """The part of a model that stays while it trains: the training graph, the parameter shapes in order and the loss.

    `graph` identifies how outputs and gradients are computed: for a numpy model its family, layer sizes and activation,
    for a prepared model file the file's hash. `name` is for people and enters no hash.
    Raises `LocalError(ARCHITECTURE_INVALID)`: no parameters, a repeated parameter name, a size below 1.
    """

    name: str
    shapes: tuple[tuple[str, Shape], ...]
    loss: str
    graph: bytes

    def __post_init__(self) -> None:
        names = [name for name, _ in self.shapes]
        if not names or len(set(names)) != len(names):
            raise LocalError(Refusal.ARCHITECTURE_INVALID, f"{self.name}: parameters need names, each once; these are {names}")
        if any(size < 1 for _, shape in self.shapes for size in shape):
            raise LocalError(Refusal.ARCHITECTURE_INVALID, f"{self.name}: a parameter with no values in {self.shapes}")

    @property
    def dimension(self) -> int:
        """d, the number of values in all parameters together."""
        return sum(math.prod(shape) for _, shape in self.shapes)

    @property
    def digest(self) -> Digest:
        """The architecture hash that a policy allows and a plan names, 32 bytes (PROTOCOL 2)."""
        shapes = (
            length_prefixed(name.encode()) + unsigned(len(shape), 1) + b"".join(unsigned(size, 4) for size in shape)
            for name, shape in self.shapes
        )
        head = length_prefixed(self.graph) + length_prefixed(self.loss.encode()) + unsigned(len(self.shapes), 4)
        return Digest(labelled_hash(Label.ARCHITECTURE, head, *shapes))

    def split(self, vector: npt.NDArray[F]) -> dict[str, npt.NDArray[F]]:
        """Views into `vector` (d,), one per parameter, in order. `LocalError(MODEL_SHAPE)` for any other shape."""
        if vector.shape != (self.dimension,):
            raise LocalError(Refusal.MODEL_SHAPE, f"{self.name} has {self.dimension} values, not {vector.shape}")
        parts, begin = {}, 0
        for name, shape in self.shapes:
            end = begin + math.prod(shape)
            parts[name] = vector[begin:end].reshape(shape)
            begin = end
        return parts

    def join(self, parts: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        """The inverse of `split`: a new (d,) vector. `LocalError(MODEL_SHAPE)` unless names and shapes are exactly these."""
        given = {name: part.shape for name, part in parts.items()}
        if given != dict(self.shapes):
            raise LocalError(Refusal.MODEL_SHAPE, f"{self.name} has parameters {dict(self.shapes)}, not {given}")
        return np.concatenate([np.asarray(parts[name], dtype=np.float64).reshape(-1) for name, _ in self.shapes])


def check_parameters(values: Values, max_abs: float) -> None:
    """Refuse values (d,) that no model may have: on a device before training, on the orchestrator before release.

    Raises `PeerError`: `MODEL_SHAPE` if not flat or empty, `MODEL_NOT_FINITE`, `MODEL_TOO_LARGE` above `max_abs` in magnitude.
    """
    if values.ndim != 1 or values.size == 0:
        raise PeerError(Refusal.MODEL_SHAPE, f"model parameters are one flat vector, not {values.shape}")
    if not np.isfinite(values).all():
        raise PeerError(Refusal.MODEL_NOT_FINITE, f"model parameter {int(np.argmin(np.isfinite(values)))} is not a finite number")
    # as Python floats: numpy would first round the bound to the width of `values`
    largest = float(np.max(np.abs(values)))
    if not largest <= max_abs:
        raise PeerError(Refusal.MODEL_TOO_LARGE, f"a model parameter of magnitude {largest:.6g}, at most {max_abs:.6g} allowed")


@dataclass(frozen=True, slots=True, eq=False)
class GlobalModel:
    """One version of the shared model: `version` >= 0 and finite float32 `parameters` (d,), copied and read-only.

    Equal when version and bytes are. Raises `PeerError` as `check_parameters` does (a value beyond float32 counts as not
    finite) and `LocalError(SETTINGS_INVALID)` for a negative version.
    """

    version: int
    parameters: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.version < 0:
            raise LocalError(Refusal.SETTINGS_INVALID, f"model versions count from 0, not {self.version}")
        with np.errstate(over="ignore"):  # the overflow becomes an infinity, which is refused
            values = np.array(self.parameters, dtype=np.float32)
        check_parameters(values, math.inf)
        values.setflags(write=False)
        object.__setattr__(self, "parameters", values)

    @classmethod
    def from_bytes(cls, data: bytes, *, version: int, dimension: int, max_abs: float) -> Self:
        """The model whose `to_bytes` are `data`; `dimension` and `max_abs` from plan and policy.

        Raises `PeerError`: `MODEL_SHAPE` unless `data` holds exactly `dimension` values, else as `check_parameters`.
        The hash is the caller's to compare, with `digest`, before or after.
        """
        if len(data) != dimension * _WIRE_TYPE.itemsize:
            raise PeerError(Refusal.MODEL_SHAPE, f"a model of {dimension} values has {4 * dimension} bytes, not {len(data)}")
        values = np.frombuffer(data, dtype=_WIRE_TYPE)
        check_parameters(values, max_abs)
        return cls(version, values)

    @property
    def dimension(self) -> int:
        """The number of values, d."""
        return self.parameters.size

    @property
    def digest(self) -> Digest:
        """SHA-256 of `to_bytes()`: the parameter hash of plans, topics and records, 32 bytes. The version does not enter."""
        return Digest(sha256(self.to_bytes()))

    def to_bytes(self) -> bytes:
        """The parameters as little-endian IEEE 754 float32, 4 d bytes."""
        return self.parameters.astype(_WIRE_TYPE).tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GlobalModel) and (self.version, self.to_bytes()) == (other.version, other.to_bytes())

    def __hash__(self) -> int:
        return hash((self.version, self.to_bytes()))

    def __repr__(self) -> str:
        return f"GlobalModel(version={self.version}, dimension={self.dimension}, digest={self.digest.hex()[:16]}..)"
