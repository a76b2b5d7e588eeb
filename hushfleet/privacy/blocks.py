"""The blocks that a vector is cut into for the rotation (PROTOCOL 6)."""

from hushfleet.documents.limits import MAX_VALUES
from hushfleet.errors import LocalError, Refusal

SMALLEST_BLOCK = 64
LARGEST_BLOCK = 65_536
MAX_DIMENSION = MAX_VALUES
"""Above this, squares of slot-sized values could leave int64 when added up."""


def block_size(dimension: int) -> int:
    """Block size b for a vector of `dimension` values: the greatest power of two <= d/16, kept within [64, 65536].

    `LocalError` (`PLAN_DIMENSION`) unless 1 <= `dimension` <= `MAX_DIMENSION`.
    """
    if not 1 <= dimension <= MAX_DIMENSION:
        raise LocalError(Refusal.PLAN_DIMENSION, f"a vector of {dimension} values; from 1 to {MAX_DIMENSION} can be encoded")
    sixteenth = dimension // 16
    return min(LARGEST_BLOCK, max(SMALLEST_BLOCK, 1 << max(sixteenth.bit_length() - 1, 0)))


def padded_dimension(dimension: int) -> int:
    """d': `dimension` rounded up to whole blocks. Noise is added on all d' coordinates. Errors as `block_size`."""
    block = block_size(dimension)
    return -(-dimension // block) * block


def encoded_length(dimension: int, keep_one_in: int) -> int:
    """Coordinates that an encoded vector has: d' / `keep_one_in`. Errors as `block_size`."""
    return padded_dimension(dimension) // keep_one_in
