import json
from pathlib import Path

import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.rounding import round_within
from hushfleet.randomness import SeededRandomness
from tests.support.refusals import refused

VECTORS = json.loads((Path(__file__).parent / "rounding.json").read_text())


def floats(texts):
    return np.array([float.fromhex(text) for text in texts])


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_rounded(case):
    source = SeededRandomness(case["seed"].encode())
    rounded = round_within(floats(case["scaled"]), bound=case["bound"], b2=case["b2"], randomness=source).tolist()
    assert rounded == case["rounded"]
    assert sum(value * value for value in rounded) <= case["b2"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["name"])
def test_refused(case):
    with refused(Refusal(case["refusal"]), LocalError):
        round_within(floats(case["scaled"]), bound=case["bound"], b2=100, randomness=SeededRandomness(b""))
