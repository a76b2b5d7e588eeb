"""The plain update of one device, the most private value in the system."""

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LocalUpdate:
    """Trained minus global parameters, float64 (d,), read-only.

    Values may be infinite or NaN when training diverged: clipping, the next stop, replaces such an update by zeros, so that
    a device contributes whatever its data (PROTOCOL 5.2). It has no wire form, its repr shows nothing, it cannot be pickled.
    """

    vector: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        values = np.array(self.vector, dtype=np.float64)
        if values.ndim != 1 or values.size == 0:
            raise ValueError(f"an update is one flat vector, not {values.shape}")
        values.setflags(write=False)
        object.__setattr__(self, "vector", values)

    def __repr__(self) -> str:
        return f"LocalUpdate({self.vector.size} private values)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a plain update does not leave the process")
