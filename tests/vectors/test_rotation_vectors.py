import json
from pathlib import Path

import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import Label, labelled_xof, sha256
from hushfleet.privacy.blocks import block_size, padded_dimension
from hushfleet.privacy.integer_rules import LARGEST_SUM
from hushfleet.privacy.keep import kept_coordinates
from hushfleet.privacy.rotation import rotate, unrotate
from hushfleet.randomness import SeededRandomness
from tests.support.refusals import refused

VECTORS = json.loads((Path(__file__).parent / "rotation.json").read_text())


def total_of(case):
    drawn = np.frombuffer(SeededRandomness(case["total_seed"].encode()).octets(4 * case["padded"]), dtype="<u4").astype(np.int64)
    return drawn % (2 * LARGEST_SUM + 1) - LARGEST_SUM


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["dimension"]))
def test_both_directions(case):
    dimension, plan_hash, total = case["dimension"], bytes.fromhex(case["plan_hash"]), total_of(case)
    assert (block_size(dimension), padded_dimension(dimension)) == (case["block"], case["padded"])
    assert labelled_xof(Label.ROTATION, 8, plan_hash).hex() == case["first_sign_octets"]
    forth, back = rotate(total[:dimension].astype(np.float64), plan_hash), unrotate(total, plan_hash, dimension)
    for values, name in ((forth, "rotated"), (back, "unrotated")):
        assert values[:8].tolist() == [float.fromhex(text) for text in case[name]]
        assert sha256(values.astype("<f8").tobytes()).hex() == case[f"{name}_sha256"]


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["dimension"]))
def test_one_coordinate_in_four(case):
    dimension, plan_hash, total = case["dimension"], bytes.fromhex(case["plan_hash"]), total_of(case)
    assert kept_coordinates(dimension, 4, plan_hash)[:8].tolist() == case["kept_of_four"]
    back = unrotate(total[: total.size // 4], plan_hash, dimension, keep_one_in=4)
    assert sha256(back.astype("<f8").tobytes()).hex() == case["unrotated_of_four_sha256"]


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["dimension"]))
def test_another_plan_hash_gives_another_vector(case):
    back = unrotate(total_of(case), bytes(32), case["dimension"])
    assert sha256(back.astype("<f8").tobytes()).hex() != case["unrotated_sha256"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["name"])
def test_refused(case):
    with refused(Refusal(case["refusal"]), LocalError):
        unrotate(np.array(case["total"], dtype=np.int64), bytes(32), case["dimension"])
