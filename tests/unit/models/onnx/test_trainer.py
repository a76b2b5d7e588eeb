"""A hand-made trainable model under the trainer contract, beside the numpy model that it is."""

import sys

import numpy as np
import pytest

from hushfleet.errors import DataError, LocalError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.training import Data, GlobalModel, Trainer, uniform
from models import catalogue
from models.onnx import runtime
from models.onnx.manifest import Logits, Tensor
from models.onnx.trainer import OnnxTrainer
from tests.support.hand_made_model import hand_made
from tests.support.refusals import refused
from tests.support.trainer_contract import Array, LabelledTrainerContract, naming_row

TWIN = catalogue.trainer("mlp:4x6x3:tanh")


def draws(name: str, *shape: int) -> Array:
    """Numbers in [-1, 1)."""
    return 2.0 * uniform(SeededRandomness(name.encode()), int(np.prod(shape))).reshape(shape) - 1.0


class TestOnnxTrainer(LabelledTrainerContract):
    # float32: a difference of losses keeps three or four digits
    difference_step, tolerance, update_tolerance, adam_tolerance = 1e-2, 2e-3, 1e-9, 1e-7
    bad_label = 3.0
    model = OnnxTrainer(hand_made())

    def trainer(self) -> Trainer:
        return self.model

    def data(self, rows: int) -> Data:
        return Data(draws("features", rows, 4), np.arange(rows) % 3)


def test_gradients_and_outputs_are_those_of_the_numpy_model():
    model, parameters = OnnxTrainer(hand_made()), draws("parameters", TWIN.architecture.dimension)
    features, targets = draws("features", 9, 4), np.arange(9) % 3
    (loss, gradient), (wanted_loss, wanted) = (one.gradient(parameters, features, targets) for one in (model, TWIN))
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    np.testing.assert_allclose(gradient, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(catalogue.score(model, GlobalModel(0, parameters), Data(features, targets)).loss, wanted_loss, rtol=1e-5)
    assert (model.outputs(parameters, features).argmax(axis=1) == TWIN.outputs(parameters, features).argmax(axis=1)).all()


def test_predictions_do_not_follow_how_rows_are_cut():
    model = OnnxTrainer(hand_made())
    parameters, features = draws("parameters", TWIN.architecture.dimension), draws("many", 600, 4)
    parts = [model.outputs(parameters, features[begin : begin + 100]) for begin in range(0, 600, 100)]
    np.testing.assert_allclose(model.outputs(parameters, features), np.concatenate(parts), rtol=0, atol=1e-5)


def test_the_first_model_is_the_one_in_the_file():
    trainable = hand_made()
    assert OnnxTrainer(trainable).initial(SeededRandomness(b"")).parameters.tobytes() == trainable.initial.tobytes()


def test_no_graph_is_loaded_before_the_first_gradient(monkeypatch):
    opened = []
    monkeypatch.setattr("models.onnx.trainer.open_session", lambda *args: opened.append(args) or runtime.open_session(*args))
    model = OnnxTrainer(hand_made(), threads=2)
    features, targets = draws("features", 2, 4), np.zeros(2)
    model.check(features, targets)
    model.initial(SeededRandomness(b""))
    assert not opened
    for _ in range(3):
        model.gradient(np.zeros(model.architecture.dimension), features, targets)
    assert [threads for _, threads in opened] == [2]


def test_without_onnxruntime_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with refused(Refusal.SYSTEM_UNSUPPORTED, LocalError):
        runtime.open_session(hand_made().train)


def test_a_loss_of_a_later_version_is_refused():
    with refused(Refusal.MODEL_DAMAGED, LocalError):
        OnnxTrainer(hand_made(loss="focal"))


def test_a_number_beyond_float32_is_named():
    features = draws("features", 5, 4)
    features[3, 1] = 1e39
    with refused(Refusal.DATA_VALUE, DataError), naming_row(3):
        OnnxTrainer(hand_made()).check(features, np.zeros(5))


@pytest.mark.parametrize("bad", [-1, 100, 0.5])
def test_tokens_are_whole_numbers_of_the_vocabulary(bad):
    model = OnnxTrainer(hand_made(features=(Tensor("x", "int64", (4,), 0, 99),)))
    features = np.full((5, 4), 99.0)
    model.check(features, np.zeros(5))
    features[2, 3] = bad
    with refused(Refusal.DATA_VALUE, DataError), naming_row(2):
        model.check(features, np.zeros(5))


def test_rows_of_a_table_are_given_the_shape_of_the_input():
    model = OnnxTrainer(hand_made(features=(Tensor("x", "float32", (2, 2)),)))
    flat = draws("features", 3, 4)
    assert model._feeds(flat)["x"].tobytes() == model._feeds(flat.reshape(3, 2, 2))["x"].tobytes()
    assert model._feeds(flat)["x"].shape == (3, 2, 2)


def test_several_inputs_stand_one_after_the_other_in_a_row():
    model = OnnxTrainer(hand_made(features=(Tensor("x", "float32", (2, 2)), Tensor("u", "int64", (), 0, 9))))
    features = np.arange(10.0).reshape(2, 5)
    feeds = model._feeds(features)
    assert feeds["x"].tolist() == [[[0, 1], [2, 3]], [[5, 6], [7, 8]]]
    assert feeds["u"].tolist() == [4, 9]
    assert feeds["u"].dtype == np.int64
    with refused(Refusal.DATA_SHAPE, DataError), naming_row(0):
        model.check(features[:, :4], np.zeros(2))


@pytest.mark.parametrize(
    ("activation", "back"), [("none", lambda p: p), ("log-softmax", lambda p: p), ("sigmoid", lambda p: np.log(p / (1 - p)))]
)
def test_an_activation_at_the_end_is_taken_back(activation, back):
    model, softmax = (OnnxTrainer(hand_made(logits=Logits("p", (3,), name))) for name in (activation, "softmax"))
    parameters, features = draws("parameters", TWIN.architecture.dimension), draws("features", 3, 4)
    probabilities = np.exp(softmax.outputs(parameters, features))
    np.testing.assert_allclose(model.outputs(parameters, features), back(probabilities), rtol=1e-5)


def test_a_probability_that_underflowed_costs_much_but_not_everything():
    model = OnnxTrainer(hand_made())
    parameters = np.zeros(model.architecture.dimension)
    parameters[-3:] = (1000, 0, 0)
    assert np.isfinite(model.outputs(parameters, draws("features", 2, 4))).all()
