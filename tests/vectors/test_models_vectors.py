import json
from contextlib import ExitStack, nullcontext
from pathlib import Path

import numpy as np
import pytest

from hushfleet.errors import DataError, LocalError, PeerError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.training import Architecture, Data, GlobalModel, LocalTraining, train
from models import catalogue
from tests.support.refusals import refused
from tests.support.trainer_contract import naming_row

VECTORS = json.loads(Path(__file__).with_name("models.json").read_text())
NINE_PLACES = 1e-9


@pytest.mark.parametrize("case", VECTORS["architectures"], ids=lambda case: case["name"])
def test_architectures(case):
    shapes = tuple((part, tuple(shape)) for part, shape in case["shapes"])
    stated = Architecture(case["name"], shapes, case["loss"], bytes.fromhex(case["graph"]))
    assert stated == catalogue.architecture(case["name"])
    assert stated.dimension == case["dimension"]
    assert stated.digest.hex() == case["digest"]


@pytest.mark.parametrize("case", VECTORS["names"], ids=lambda case: case["name"])
def test_names(case):
    with refused(Refusal(case["refusal"]), LocalError):
        catalogue.architecture(case["name"])


@pytest.mark.parametrize("case", VECTORS["runs"], ids=lambda case: case["name"])
def test_runs(case):
    model = catalogue.trainer(case["name"])
    first = model.initial(SeededRandomness(bytes.fromhex(case["first_seed"])))
    assert first.to_bytes().hex() == case["first"]
    data, randomness = Data(case["features"], case["targets"]), SeededRandomness(bytes.fromhex(case["batches_seed"]))
    update = train(model, first, LocalTraining.make(**case["settings"]), data, randomness)
    np.testing.assert_allclose(update.vector, [float(value) for value in case["update"]], rtol=0, atol=NINE_PLACES)


@pytest.mark.parametrize("case", VECTORS["data"], ids=lambda case: case["what"])
def test_data(case):
    model = catalogue.trainer(case["model"])
    features = np.array(case["features"], dtype=np.float64)
    targets = np.array(case["targets"], dtype=np.float64)
    with ExitStack() as expected:
        if case["refusal"] is not None:
            expected.enter_context(refused(Refusal(case["refusal"]), DataError))
            expected.enter_context(naming_row(case["row"]))
        data = Data(features, targets)
        model.check(data.features, data.targets)


@pytest.mark.parametrize("case", VECTORS["models"], ids=lambda case: case["what"])
def test_models(case):
    data = bytes.fromhex(case["bytes"])
    with nullcontext() if case["refusal"] is None else refused(Refusal(case["refusal"]), PeerError):
        model = GlobalModel.from_bytes(data, version=0, dimension=case["dimension"], max_abs=case["max_abs"])
        assert model.to_bytes() == data
