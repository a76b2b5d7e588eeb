"""The coordinates that are sent after the rotation, the same on every device of a round (PROTOCOL 6)."""

import numpy as np
import numpy.typing as npt

from hushfleet.errors import LocalError, Refusal
from hushfleet.ids import HASH_BYTES
from hushfleet.labels import Label, labelled_xof
from hushfleet.privacy.blocks import block_size, padded_dimension
from hushfleet.privacy.integer_rules import KEEP_CHOICES

_DRAW_BYTES = 4


def kept_coordinates(dimension: int, keep_one_in: int, plan_hash: bytes) -> npt.NDArray[np.intp]:
    """Rising positions in 0..d'-1 of the coordinates that are kept: b / `keep_one_in` of each block of b, (d' / `keep_one_in`,).

    The XOF under its label gives each of the d' coordinates a little-endian u32; in each block those with the smallest draws are
    kept, of equal ones the first. `LocalError`: `PLAN_DIMENSION`, `PLAN_KEEP`, `PLAN_HASH`.
    """
    if keep_one_in not in KEEP_CHOICES:
        raise LocalError(Refusal.PLAN_KEEP, f"one coordinate in {keep_one_in} kept; one in {KEEP_CHOICES} is possible")
    padded, block = padded_dimension(dimension), block_size(dimension)
    if keep_one_in == 1:
        return np.arange(padded)
    if len(plan_hash) != HASH_BYTES:
        raise LocalError(Refusal.PLAN_HASH, f"a plan hash of {len(plan_hash)} bytes; {HASH_BYTES} are expected")
    draws = np.frombuffer(labelled_xof(Label.KEPT, _DRAW_BYTES * padded, plan_hash), dtype="<u4").reshape(-1, block)
    chosen = np.sort(np.argsort(draws, axis=1, kind="stable")[:, : block // keep_one_in], axis=1)
    return (chosen + np.arange(0, padded, block)[:, None]).reshape(-1)
