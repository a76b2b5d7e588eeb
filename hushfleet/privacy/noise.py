"""Third stage: the noise that makes the sum differentially private (PROTOCOL 6)."""

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.integer_rules import LARGEST_SUM
from hushfleet.privacy.sampler import discrete_gaussian
from hushfleet.randomness import Randomness


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EncodedVector:
    """The vector that a scheme encrypts: `values` (d',) int64, noise included, each within +-(2^23 - 1), the most that any slot holds.

    Still secret: one device's noise is small. Made by `add_noise` alone. The array becomes read-only.
    `LocalError`: `UPDATE_SHAPE`, `VALUE_OUT_OF_SLOT`.
    """

    values: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not self.values.size or self.values.dtype != np.int64:
            raise LocalError(Refusal.UPDATE_SHAPE, f"a vector of shape {self.values.shape}, {self.values.dtype}; int64 (d',) is expected")
        if int(self.values.max()) > LARGEST_SUM or int(self.values.min()) < -LARGEST_SUM:
            raise LocalError(Refusal.VALUE_OUT_OF_SLOT, f"a value lies beyond +-{LARGEST_SUM}")
        self.values.flags.writeable = False

    def __repr__(self) -> str:
        return f"EncodedVector(<{self.values.size} values>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an encoded update does not leave the process")


def add_noise(rounded: npt.NDArray[np.int64], variance: int, randomness: Randomness) -> EncodedVector:
    """`rounded` (d',) int64 plus a fresh draw from N_Z(0, `variance`) on every coordinate; `variance` 0 adds none.

    Noise is added after the clamp and never clamped: its law is exact. `LocalError`: `PLAN_VARIANCE`, and as `EncodedVector`.
    """
    if variance == 0:
        return EncodedVector(rounded.copy())
    return EncodedVector(rounded + discrete_gaussian(variance).draw(rounded.size, randomness))
