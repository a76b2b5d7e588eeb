"""Stochastic rounding for given floats and given random bytes: settled, tied, clamped, tried again, given up."""

import numpy as np

from hushfleet.privacy.rounding import round_within
from hushfleet.randomness import SeededRandomness

_CASES = (
    ("between integers", [0.5, -0.5, 1.25, -1.25, 3.0, 1e-30, -1e-30, 0.999999], 9, 1_000),
    ("clamped", [40.5, -40.5, 1e300, -1e300, 7.5], 7, 1_000),
    ("until the norm fits", [1.5] * 12, 9, 30),
    ("never", [10.0, 10.0], 99, 199),
)
_REFUSED = (
    ("infinite", ["inf", "0x0.0p+0"], 9, "update-not-finite"),
    ("not a number", ["nan"], 9, "update-not-finite"),
    ("no values", [], 9, "update-shape"),
    ("no clamp", ["0x0.0p+0"], 0, "value-out-of-slot"),
    ("a clamp beyond the slot of a sum", ["0x0.0p+0"], 262_144, "value-out-of-slot"),
)


def build() -> dict[str, object]:
    return {
        "cases": [_case(*case) for case in _CASES],
        "refused": [{"name": name, "scaled": scaled, "bound": bound, "refusal": reason} for name, scaled, bound, reason in _REFUSED],
    }


def _case(name: str, scaled: list[float], bound: int, b2: int) -> dict[str, object]:
    rounded = round_within(np.array(scaled), bound=bound, b2=b2, randomness=SeededRandomness(name.encode()))
    return {"name": name, "scaled": [value.hex() for value in scaled], "bound": bound, "b2": b2, "seed": name, "rounded": rounded.tolist()}
