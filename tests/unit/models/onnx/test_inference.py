"""An inference file runs as it is: its classes are the trainer's, and rows of another width are refused."""

import numpy as np
import pytest

from hushfleet.errors import DataError, LocalError, Refusal
from hushfleet.training import GlobalModel
from models.evaluation import predict
from models.onnx import inference
from models.onnx.inference import InferenceModel
from models.onnx.trainer import OnnxTrainer
from tests.support.hand_made_model import hand_made
from tests.support.refusals import refused

ROWS = np.tile(np.eye(4), (75, 1))

VALUES = np.sin(np.arange(hand_made().manifest.dimension)).astype(np.float32)


@pytest.fixture
def file():
    return hand_made().inference_file(VALUES)


def test_classes_are_those_of_the_trainer_for_any_number_of_rows(file):
    expected = predict(OnnxTrainer(hand_made()), GlobalModel(1, VALUES), ROWS)
    assert len(set(expected.tolist())) > 1
    for rows in (0, 1, 256, 300):
        assert InferenceModel(file, "softmax-cross-entropy").predict(ROWS[:rows]).tolist() == expected[:rows].tolist()


def test_without_a_known_loss_the_outputs_stay_as_they_are(file):
    assert InferenceModel(file, "").predict(ROWS[:5]).shape == (5, 3)


def test_rows_of_another_width_are_refused(file):
    with refused(Refusal.DATA_SHAPE, DataError):
        InferenceModel(file, "softmax-cross-entropy").predict(ROWS[:, :3])


def test_a_file_that_takes_something_else_is_refused(file, monkeypatch):
    monkeypatch.setattr(inference, "_TYPES", {})
    with refused(Refusal.MODEL_UNSUPPORTED, LocalError):
        InferenceModel(file, "mse")
