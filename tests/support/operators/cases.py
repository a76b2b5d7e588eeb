"""Random cases by operator. A family registers generators with `cases`; `collect` draws from all of them, always the same."""

import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.support.operators.check import Case

Draw = Callable[["Source"], Case]

_FAMILIES = ("activations", "arithmetic", "arrays", "matrices", "normalisation", "recurrent", "reductions", "windows")
_GENERATORS: list[tuple[str, int, Draw]] = []


class Source:
    """Random choices and tensors of one case."""

    def __init__(self, seed: list[int]) -> None:
        self.random = np.random.default_rng(seed)

    def normal(self, *shape: int, scale: float = 1.0) -> npt.NDArray[np.float32]:
        return (scale * self.random.normal(size=shape)).astype(np.float32)

    def positive(self, *shape: int) -> npt.NDArray[np.float32]:
        return self.random.uniform(0.3, 2.0, size=shape).astype(np.float32)

    def distinct(self, *shape: int) -> npt.NDArray[np.float32]:
        """No two closer than 0.05, so that a largest one is clear."""
        return (self.random.permutation(int(np.prod(shape))).reshape(shape) * 0.05 - 1.0).astype(np.float32)

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self.random.integers(low, high + 1))

    def wholes(self, count: int, low: int, high: int) -> list[int]:
        return [self.whole(low, high) for _ in range(count)]

    def one_of(self, *choices: Any) -> Any:  # noqa: ANN401 -- of any kind
        return choices[self.whole(0, len(choices) - 1)]

    def shape(self, rank: int = 3) -> tuple[int, ...]:
        return (2, *self.wholes(rank - 1, 2, 4))


def cases(*op_types: str, count: int) -> Callable[[Callable[..., Case]], Callable[..., Case]]:
    """Draw `count` cases for each operator; the function takes a `Source` and, if it serves several operators, the operator."""

    def register(function: Callable[..., Case]) -> Callable[..., Case]:
        for op_type in op_types:
            draw = function if len(op_types) == 1 else _for(function, op_type)
            _GENERATORS.append((f"{function.__name__}/{op_type}", count, draw))
        return function

    return register


def collect() -> list[Case]:
    """All cases of all families."""
    for family in _FAMILIES:
        import_module(f"tests.support.operators.{family}")
    return [draw(Source([zlib.crc32(name.encode()), number])) for name, count, draw in _GENERATORS for number in range(count)]


def _for(function: Callable[..., Case], op_type: str) -> Draw:
    return lambda source: function(source, op_type)
