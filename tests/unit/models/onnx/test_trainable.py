"""A trainable model on disk: whole, or refused."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from hushfleet.errors import LocalError, Refusal
from models.onnx import load_trainable
from models.onnx.manifest import Manifest
from models.onnx.prepare import prepare
from models.onnx.prepare.wire import offsets
from models.onnx.trainable import INFER, MANIFEST, TRAIN, TrainableModel
from tests.support.onnx_files import mlp, saved
from tests.support.refusals import refused


@pytest.fixture
def trainable(tmp_path: Path) -> TrainableModel:
    return prepare(saved(tmp_path, mlp()), loss="mse")


@pytest.fixture
def folder(tmp_path: Path, trainable: TrainableModel) -> Path:
    trainable.save(tmp_path / "net.trainable")
    return tmp_path / "net.trainable"


def edit(folder: Path, **fields: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | fields))


def test_it_comes_back_as_it_was_saved(folder: Path, trainable: TrainableModel):
    loaded = load_trainable(folder)
    assert (loaded.manifest, loaded.train, loaded.infer) == (trainable.manifest, trainable.train, trainable.infer)
    assert loaded.architecture.digest == trainable.architecture.digest
    assert Manifest.from_json(trainable.manifest.to_json()) == trainable.manifest


@pytest.mark.parametrize("name", [TRAIN, INFER])
def test_a_changed_file_is_found(folder: Path, name: str):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with refused(Refusal.MODEL_DAMAGED, LocalError):
        load_trainable(folder)


@pytest.mark.parametrize("name", [TRAIN, INFER, MANIFEST])
def test_a_missing_file_is_found(folder: Path, name: str):
    (folder / name).unlink()
    with refused(Refusal.MODEL_DAMAGED, LocalError):
        load_trainable(folder)


@pytest.mark.parametrize("fields", [{"format": 2}, {"parameters": []}, {"features": []}, {"loss": 3}, {"extra": 1}], ids=str)
def test_a_manifest_that_says_something_else_is_refused(folder: Path, fields: dict[str, object]):
    edit(folder, **fields)
    with refused(Refusal.MODEL_DAMAGED, LocalError):
        load_trainable(folder)


def test_a_manifest_that_is_no_json_is_refused():
    with refused(Refusal.MODEL_DAMAGED, LocalError):
        Manifest.from_json(b"\xff{")


@pytest.mark.parametrize("offset", [-1, 10**9])
def test_a_parameter_outside_the_file_is_refused(folder: Path, trainable: TrainableModel, offset: int):
    parameters = json.loads(trainable.manifest.to_json())["parameters"]
    edit(folder, parameters=[*parameters[1:], parameters[0] | {"offset": offset}])
    with refused(Refusal.MODEL_DAMAGED, LocalError):
        load_trainable(folder)


def test_no_folder_is_no_damage(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        load_trainable(tmp_path / "absent.trainable")


def test_trained_values_go_where_the_old_ones_were(trainable: TrainableModel):
    assert trainable.inference_file(trainable.initial) == trainable.infer
    values = np.arange(trainable.manifest.dimension, dtype=np.float32) / 100
    content = trainable.inference_file(values)
    parts = trainable.architecture.split(values)
    x = np.ones((2, 4), np.float32)
    (z,) = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    assert z == pytest.approx(np.tanh(x @ parts["w1"].T + parts["b1"]) @ parts["w2"] + parts["b2"], rel=1e-5)
    with refused(Refusal.MODEL_SHAPE, LocalError):
        trainable.inference_file(values[1:])


def test_offsets_of_a_file_are_found_by_its_own_structure(trainable: TrainableModel):
    places = offsets(trainable.infer)
    assert {one.name: one.offset for one in trainable.manifest.parameters} == places
