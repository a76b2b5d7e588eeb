"""The sampler's tables by hash, their ends in full, and draws for given random bytes."""

import numpy as np

from hushfleet.labels import sha256
from hushfleet.privacy.gaussian_table import MAX_VARIANCE, half_width, lower_half
from hushfleet.privacy.sampler import discrete_gaussian
from hushfleet.randomness import SeededRandomness

_VARIANCES = (1, 16, 41, 3_750, 131_072, 2_100_000)
_DRAWS = 5_000
_SHOWN = 40


def build() -> dict[str, object]:
    return {
        "cases": [_case(variance) for variance in _VARIANCES],
        "refused": [{"variance": variance, "refusal": "plan-variance"} for variance in (0, -1, MAX_VARIANCE + 1)],
    }


def _case(variance: int) -> dict[str, object]:
    lower, seed = lower_half(variance), f"sampler/{variance}"
    draws = discrete_gaussian(variance).draw(_DRAWS, SeededRandomness(seed.encode()))
    return {
        "variance": variance,
        "half_width": half_width(variance),
        "direct_bits": discrete_gaussian(variance).direct_bits,
        "first_entry": f"{lower[0]:032x}",
        "entry_of_minus_one": f"{lower[-1]:032x}",
        "table_sha256": sha256(b"".join(entry.to_bytes(16, "big") for entry in lower)).hex(),
        "seed": seed,
        "count": _DRAWS,
        "first_draws": draws[:_SHOWN].tolist(),
        "draws_sha256": sha256(draws.astype(np.dtype("<i8")).tobytes()).hex(),
    }
