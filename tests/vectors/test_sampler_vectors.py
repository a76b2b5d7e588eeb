import json
from pathlib import Path

import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import sha256
from hushfleet.privacy.gaussian_table import half_width, lower_half
from hushfleet.privacy.sampler import discrete_gaussian
from hushfleet.randomness import SeededRandomness
from tests.support.refusals import refused

VECTORS = json.loads((Path(__file__).parent / "sampler.json").read_text())


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["variance"]))
def test_table(case):
    lower = lower_half(case["variance"])
    assert half_width(case["variance"]) == case["half_width"] == len(lower)
    assert (lower[0], lower[-1]) == (int(case["first_entry"], 16), int(case["entry_of_minus_one"], 16))
    assert sha256(b"".join(entry.to_bytes(16, "big") for entry in lower)).hex() == case["table_sha256"]


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["variance"]))
def test_draws(case):
    sampler = discrete_gaussian(case["variance"])
    assert sampler.direct_bits == case["direct_bits"]
    draws = sampler.draw(case["count"], SeededRandomness(case["seed"].encode()))
    assert draws[: len(case["first_draws"])].tolist() == case["first_draws"]
    assert sha256(draws.astype(np.dtype("<i8")).tobytes()).hex() == case["draws_sha256"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: str(case["variance"]))
def test_refused(case):
    with refused(Refusal(case["refusal"]), LocalError):
        discrete_gaussian(case["variance"])
