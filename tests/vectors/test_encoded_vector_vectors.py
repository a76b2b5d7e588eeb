import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import sha256
from hushfleet.privacy import ClippedVector, clip, derive, encode_vector
from hushfleet.randomness import SeededRandomness
from tests.support.refusals import refused

VECTORS = json.loads((Path(__file__).parent / "encoded_vector.json").read_text())


def clipped_of(case):
    dimension, clip_norm = case["asked"]["dimension"], case["asked"]["clip_norm"]
    if case["update_seed"] is None:
        return ClippedVector.zero(dimension, clip_norm)
    octets = SeededRandomness(case["update_seed"].encode()).octets(2 * dimension)
    return clip(np.frombuffer(octets, dtype="<i2") / 32_768.0, clip_norm)


@pytest.mark.parametrize("case", VECTORS["cases"])
def test_encoded(case):
    plan = derive(**case["asked"])
    assert asdict(plan) == case["plan"]
    encoded = encode_vector(clipped_of(case), plan, bytes.fromhex(case["plan_hash"]), SeededRandomness(case["seed"].encode()))
    assert encoded.values[:24].tolist() == case["first_values"]
    assert sha256(encoded.values.astype("<i8").tobytes()).hex() == case["sha256"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["name"])
def test_refused(case):
    clipped = ClippedVector.zero(case["dimension"], case["clip_norm"])
    with refused(Refusal(case["refusal"]), LocalError):
        encode_vector(clipped, derive(**case["asked"]), bytes.fromhex(case["plan_hash"]), SeededRandomness(b""))
