"""Random numbers for training, drawn so that the cost does not follow the data."""

import numpy as np
import numpy.typing as npt

from hushfleet.randomness import Randomness


def uniform(randomness: Randomness, count: int) -> npt.NDArray[np.float64]:
    """`count` multiples of 2^-53 in [0, 1), from 8 octets each."""
    words = np.frombuffer(randomness.octets(8 * count), dtype="<u8")
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def row_numbers(randomness: Randomness, count: int, rows: int) -> npt.NDArray[np.intp]:
    """`count` row numbers in [0, rows), with replacement, each probability within 2^-53 of 1 / rows.

    Scaled, not drawn by rejection: the octets used and the time taken are the same whatever `rows`, which is private.
    """
    return (uniform(randomness, count) * rows).astype(np.intp)
