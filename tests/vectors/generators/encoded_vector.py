"""An update on its whole way to what a scheme encrypts, with and without noise, and twins that do not fit their plan."""

from dataclasses import asdict

import numpy as np

from hushfleet.ids import HASH_BYTES
from hushfleet.labels import sha256
from hushfleet.privacy import clip, derive, encode_vector, encode_zero
from hushfleet.randomness import SeededRandomness

_DIMENSION = 650
_CLIP_NORM = 1.0


def build() -> dict[str, object]:
    return {"cases": [_case("4"), _case("0"), _case("4", zero=True)], "refused": _refused()}


def update(seed: bytes) -> np.ndarray:
    """(650,) multiples of 2^-15 in [-1, 1), from little-endian i16 of the seeded stream."""
    return np.frombuffer(SeededRandomness(seed).octets(2 * _DIMENSION), dtype="<i2") / 32_768.0


def _plan(noise_multiplier: str) -> dict[str, object]:
    cohort = {"dimension": _DIMENSION, "clip_norm": _CLIP_NORM, "k_min": 40, "k_max": 50, "colluding": 2}
    return cohort | {"noise_multiplier": noise_multiplier, "without_privacy": noise_multiplier == "0"}


def _case(noise_multiplier: str, *, zero: bool = False) -> dict[str, object]:
    asked = _plan(noise_multiplier)
    plan = derive(**asked)
    plan_hash = SeededRandomness(b"encode/plan").octets(HASH_BYTES)
    randomness = SeededRandomness(b"encode/randomness")
    clipped = clip(update(b"encode/update"), _CLIP_NORM)
    encoded = encode_zero(_DIMENSION, plan, plan_hash, randomness) if zero else encode_vector(clipped, plan, plan_hash, randomness)
    return {
        "asked": asked,
        "plan": asdict(plan),
        "plan_hash": plan_hash.hex(),
        "update_seed": None if zero else "encode/update",
        "seed": "encode/randomness",
        "first_values": encoded.values[:24].tolist(),
        "sha256": sha256(encoded.values.astype("<i8").tobytes()).hex(),
    }


def _refused() -> list[dict[str, object]]:
    fitting = {"asked": _plan("4"), "dimension": _DIMENSION, "clip_norm": _CLIP_NORM, "plan_hash": bytes(HASH_BYTES).hex()}
    return [
        fitting | {"name": "an update of another model", "dimension": 577, "refusal": "plan-dimension"},
        fitting | {"name": "clipped for another plan", "clip_norm": 2.0, "refusal": "plan-clip-norm"},
        fitting | {"name": "half a plan hash", "plan_hash": bytes(16).hex(), "refusal": "plan-hash"},
    ]
