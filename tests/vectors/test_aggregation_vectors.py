import json
from pathlib import Path

import numpy as np
import pytest

from hushfleet.aggregation import OptimizerState, check_norm, mean_update, optimizer
from hushfleet.errors import PeerError, Refusal
from hushfleet.training import check_parameters
from tests.support.refusals import refused

VECTORS = json.loads(Path(__file__).with_name("aggregation.json").read_text())


def floats(text):
    return np.frombuffer(bytes.fromhex(text), dtype="<f8").astype(np.float64)


def replay(case, step):
    """Run `step`, which must be refused as the case says, or not at all."""
    if case["refusal"] is None:
        step()
        return
    with refused(Refusal(case["refusal"]), PeerError):
        step()


def test_mean():
    case = VECTORS["mean"]
    total = np.array(case["total"], dtype=np.int64)
    plan_hash = bytes.fromhex(case["plan_hash"])
    aggregate = mean_update(total, plan_hash=plan_hash, dimension=case["dimension"], scale=case["scale"], count=case["count"], slot_bits=20)
    assert aggregate.mean.tolist() == floats(case["mean"]).tolist()


@pytest.mark.parametrize("case", VECTORS["optimizers"], ids=lambda case: case["name"])
def test_optimizers(case):
    chosen, parameters = optimizer(case["name"], **case["settings"]), floats(case["start"])
    state = OptimizerState.initial(parameters.size)
    for step in case["steps"]:
        state, parameters = chosen.step(state, parameters, floats(step["update"]))
        assert parameters.tolist() == floats(step["parameters"]).tolist()
        assert state.to_bytes().hex() == step["state"]
        state = OptimizerState.from_bytes(bytes.fromhex(step["state"]))


@pytest.mark.parametrize("case", VECTORS["norm"], ids=lambda case: case["what"])
def test_norm(case):
    total = np.array(case["total"], dtype=np.int64)
    replay(case, lambda: check_norm(total, count=case["count"], b2=case["b2"], variance=case["variance"]))


@pytest.mark.parametrize("case", VECTORS["model"], ids=lambda case: case["what"])
def test_model(case):
    replay(case, lambda: check_parameters(floats(case["parameters"]), case["max_abs"]))


@pytest.mark.parametrize("case", VECTORS["state"], ids=lambda case: case["what"])
def test_state(case):
    replay(case, lambda: OptimizerState.from_bytes(bytes.fromhex(case["bytes"])))
