"""Signs and both directions of the rotation, on integers, so that each float is exact or one correctly rounded product."""

import numpy as np

from hushfleet.ids import HASH_BYTES
from hushfleet.labels import Label, labelled_xof, sha256
from hushfleet.privacy.blocks import block_size, padded_dimension
from hushfleet.privacy.integer_rules import LARGEST_SUM
from hushfleet.privacy.keep import kept_coordinates
from hushfleet.privacy.rotation import rotate, unrotate
from hushfleet.randomness import SeededRandomness

_DIMENSIONS = (1, 64, 65, 2_048, 40_000)
_SHOWN = 8


def build() -> dict[str, object]:
    return {"cases": [_case(dimension) for dimension in _DIMENSIONS], "refused": _refused()}


def _case(dimension: int) -> dict[str, object]:
    padded = padded_dimension(dimension)
    plan_hash = SeededRandomness(b"rotation/%d" % dimension).octets(HASH_BYTES)
    total = integers(b"total/%d" % dimension, padded)
    back = unrotate(total, plan_hash, dimension)
    forth = rotate(total[:dimension].astype(np.float64), plan_hash)
    return {
        "dimension": dimension,
        "block": block_size(dimension),
        "padded": padded,
        "plan_hash": plan_hash.hex(),
        "first_sign_octets": labelled_xof(Label.ROTATION, 8, plan_hash).hex(),
        "total_seed": f"total/{dimension}",
        "rotated": [value.hex() for value in forth[:_SHOWN].tolist()],
        "rotated_sha256": sha256(forth.astype("<f8").tobytes()).hex(),
        "kept_of_four": kept_coordinates(dimension, 4, plan_hash)[:_SHOWN].tolist(),
        "unrotated_of_four_sha256": sha256(_of_four(total, plan_hash, dimension)).hex(),
        "unrotated": [value.hex() for value in back[:_SHOWN].tolist()],
        "unrotated_sha256": sha256(back.astype("<f8").tobytes()).hex(),
    }


def _of_four(total: np.ndarray, plan_hash: bytes, dimension: int) -> bytes:
    """What is left of the first quarter of `total` if one coordinate in four is kept."""
    return unrotate(total[: total.size // 4], plan_hash, dimension, keep_one_in=4).astype("<f8").tobytes()


def integers(seed: bytes, count: int) -> np.ndarray:
    """`count` integers within +-(2^23 - 1) from little-endian u32 of the seeded stream: value mod (2^24 - 1) - (2^23 - 1)."""
    drawn = np.frombuffer(SeededRandomness(seed).octets(4 * count), dtype="<u4").astype(np.int64)
    return drawn % (2 * LARGEST_SUM + 1) - LARGEST_SUM


def _refused() -> list[dict[str, object]]:
    return [
        {"name": "one coordinate beyond the slot", "total": [0] * 63 + [LARGEST_SUM + 1], "dimension": 64, "refusal": "value-out-of-slot"},
        {"name": "one coordinate below the slot", "total": [-LARGEST_SUM - 1] + [0] * 63, "dimension": 64, "refusal": "value-out-of-slot"},
        {"name": "not padded", "total": [0] * 65, "dimension": 65, "refusal": "update-shape"},
        {"name": "no values", "total": [], "dimension": 0, "refusal": "plan-dimension"},
    ]
