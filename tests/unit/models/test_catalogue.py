import math
import subprocess
import sys

import numpy as np
import pytest

from hushfleet.errors import DataError, LocalError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.training import Data, GlobalModel
from models import catalogue
from models.evaluation import Metrics, evaluate, predict
from tests.support.refusals import refused


@pytest.mark.parametrize(
    ("name", "dimension"),
    [("softmax:64x10", 650), ("mlp:64x32x10", 2410), ("mlp:13x1:mse", 14), ("mlp:4x3x2:tanh:binary-cross-entropy", 23)],
)
def test_a_name_gives_a_model_of_its_size(name, dimension):
    assert catalogue.architecture(name).dimension == dimension
    assert str(catalogue.parse(name)) == catalogue.architecture(name).name == name
    assert catalogue.trainer(name).initial(SeededRandomness(b"")).dimension == dimension


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("softmax:4x3:softmax-cross-entropy", "softmax:4x3"),
        ("mlp:4x3:relu", "mlp:4x3"),
        ("mlp:4x3x2:mse:tanh", "mlp:4x3x2:tanh:mse"),
        ("mlp:4x3x2:relu:mse", "mlp:4x3x2:mse"),
    ],
)
def test_two_spellings_are_one_architecture(name, canonical):
    assert catalogue.architecture(name) == catalogue.architecture(canonical)
    assert catalogue.architecture(name).name == canonical


def test_models_that_train_differently_have_different_digests():
    names = ["softmax:4x3", "mlp:4x3", "mlp:4x3x3", "mlp:4x3x3:tanh", "mlp:4x3x3:mse", "mlp:4x3x3:binary-cross-entropy", "mlp:4x5x3"]
    assert len({catalogue.architecture(name).digest for name in names}) == len(names)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "softmax",
        "forest:4x3",
        "softmax:",
        "softmax:4",
        "softmax:4x3x2",
        "softmax:4x0",
        "softmax:04x3",
        "softmax:4x-3",
        "softmax:4X3",
        "softmax:4x3 ",
        "softmax:4x3:mse",
        "softmax:4x3:",
        "softmax:10000000x3",
        "mlp:4x3:huber",
        "mlp:4x3:mse:mse",
        "mlp:4x3:relu:tanh",
        "mlp:4x3:mse:softmax-cross-entropy",
        "mlp:٤x3",
    ],
)
def test_names_that_mean_nothing_are_refused_with_names_that_do(name):
    with refused(Refusal.MODEL_NAME, LocalError):
        catalogue.parse(name)
    with pytest.raises(LocalError) as caught:
        catalogue.trainer(name)
    assert "softmax:64x10" in caught.value.next_step
    assert "mlp:64x32x10" in caught.value.next_step


def test_every_family_has_a_line_of_help_and_an_example_that_works():
    lines = catalogue.families()
    assert len(lines) == len(catalogue.FAMILIES)
    for family, line in zip(catalogue.FAMILIES.values(), lines, strict=True):
        assert family.example in line
        assert family.description in line
        assert str(catalogue.parse(family.example)) == family.example


def test_softmax_starts_at_zero():
    assert not np.any(catalogue.trainer("softmax:4x3").initial(SeededRandomness(b"")).parameters)


@pytest.mark.parametrize(("name", "hidden"), [("mlp:30x20x10", math.sqrt(6 / 30)), ("mlp:30x20x10:tanh", math.sqrt(6 / 50))])
def test_weights_start_uniform_within_their_bounds_and_biases_at_zero(name, hidden):
    model = catalogue.trainer(name)
    first = model.initial(SeededRandomness(b"seed"))
    parts = model.architecture.split(first.parameters)
    for part, limit in (("weights.0", hidden), ("weights.1", math.sqrt(6 / 30))):
        assert 0.9 * limit < np.abs(parts[part]).max() <= limit
        assert np.abs(np.mean(parts[part])) < 0.2 * limit
    assert not np.any(parts["bias.0"])
    assert not np.any(parts["bias.1"])
    assert first == model.initial(SeededRandomness(b"seed"))
    assert first != model.initial(SeededRandomness(b"other"))


def classes() -> tuple[GlobalModel, np.ndarray]:
    """A softmax model that calls a point by the sign of its only feature."""
    return GlobalModel(1, np.array([-1.0, 1.0, 0.0, 0.0])), np.array([[-3.0], [-1.0], [2.0], [4.0]])


def test_predictions_and_metrics_of_a_classifier():
    model, (current, features) = catalogue.trainer("softmax:1x2"), classes()
    assert predict(model, current, features).tolist() == [0, 0, 1, 1]
    metrics = evaluate(model, current, Data(features, np.array([0, 0, 1, 0])))
    assert metrics.accuracy == 0.75
    assert metrics.loss == pytest.approx(np.mean(np.log1p(np.exp([-6, -2, -4, 8]))))


def test_a_regression_has_a_loss_and_no_accuracy():
    model = catalogue.trainer("mlp:1x1:mse")
    metrics = evaluate(model, GlobalModel(0, np.array([2.0, 1.0])), Data(np.array([[1.0], [2.0]]), np.array([3.0, 6.0])))
    assert metrics == Metrics(loss=0.5, accuracy=None)


def test_evaluation_refuses_data_that_do_not_fit():
    current, features = classes()
    with refused(Refusal.DATA_LABEL, DataError):
        evaluate(catalogue.trainer("softmax:1x2"), current, Data(features, np.array([0, 1, 2, 0])))


def test_the_catalogue_loads_no_heavy_library():
    program = "import sys, models.catalogue; sys.exit(any(name in sys.modules for name in ('sklearn', 'scipy', 'onnxruntime', 'onnx')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
