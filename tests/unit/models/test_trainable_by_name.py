"""A trainable model where a model's name may stand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.training import GlobalModel
from models import catalogue
from tests.support.hand_made_model import hand_made
from tests.support.refusals import refused


@pytest.fixture
def name(tmp_path) -> str:
    hand_made().save(tmp_path / "net.trainable")
    return str(tmp_path / "net.trainable")


def test_a_trainable_model_stands_for_its_model(name):
    wanted = hand_made().architecture
    assert catalogue.architecture(name) == catalogue.trainer(name).architecture == wanted
    assert catalogue.trainer(name).initial(SeededRandomness(b"")).dimension == wanted.dimension


def test_what_is_trained_is_what_was_hashed(name):
    digest = catalogue.architecture(name).digest
    assert digest == hand_made().architecture.digest
    assert digest != catalogue.architecture("mlp:4x6x3:tanh").digest


def test_a_trainable_model_counts_from_the_folder_of_the_file_that_names_it():
    folder = Path("/srv/models")
    assert catalogue.placed("net.trainable", folder) == "/srv/models/net.trainable"
    assert catalogue.placed("/other/net.trainable", folder) == "/other/net.trainable"
    assert catalogue.placed("softmax:4x3", folder) == "softmax:4x3"


def test_a_trainable_model_that_is_not_there_is_an_unknown_name(tmp_path):
    for ask in (catalogue.architecture, catalogue.trainer):
        with refused(Refusal.MODEL_NAME, LocalError):
            ask(str(tmp_path / "no.trainable"))


@pytest.mark.parametrize("file", ["train.onnx", "infer.onnx", "manifest.json"])
def test_a_trainable_model_with_a_changed_file_is_refused(name, file):
    path = Path(name) / file
    path.write_bytes(path.read_bytes()[:-2])
    with refused(Refusal.MODEL_DAMAGED, LocalError):
        catalogue.architecture(name)


def test_the_hash_needs_neither_onnx_nor_onnxruntime(name):
    program = (
        "import sys\n"
        "sys.modules['onnx'] = sys.modules['onnxruntime'] = None\n"
        "from models import catalogue\n"
        "print(catalogue.architecture(sys.argv[1]).digest.hex())"
    )
    done = subprocess.run([sys.executable, "-c", program, name], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hand_made().architecture.digest.hex()


def test_trained_values_leave_as_an_ordinary_file(name):
    import onnxruntime  # noqa: PLC0415 -- after `models` has silenced it

    model = catalogue.trainer(name)
    values = np.linspace(-1, 1, model.architecture.dimension, dtype=np.float32)
    session = onnxruntime.InferenceSession(catalogue.inference_file(name, GlobalModel(3, values)))
    assert [one.name for one in session.get_inputs()] == ["x"]
    features = np.ones((2, 4), dtype=np.float32)
    (probabilities,) = session.run(None, {"x": features})
    np.testing.assert_allclose(np.log(probabilities), model.outputs(values.astype(np.float64), features), rtol=1e-5)


def test_a_numpy_model_is_no_onnx_file():
    with refused(Refusal.MODEL_NAME, LocalError):
        catalogue.inference_file("softmax:4x3", GlobalModel(0, np.zeros(15, dtype=np.float32)))


def test_the_older_ending_is_read_too(tmp_path, name):
    older = Path(name).rename(tmp_path / "older.bundle")
    assert catalogue.architecture(str(older)).digest == hand_made().architecture.digest


def test_the_owners_bundle_is_said_to_be_one(tmp_path):
    bundle = tmp_path / "pi-01.bundle"
    bundle.write_bytes(b"signed")
    for ask in (catalogue.architecture, catalogue.trainer):
        with pytest.raises(LocalError, match="is the owner's bundle for a device, not a trainable model") as caught:
            ask(str(bundle))
        with refused(Refusal.FILE_KIND, LocalError):
            raise caught.value
        assert f"hushfleet agent join {bundle}" in caught.value.next_step
        assert "hushfleet model prepare" in caught.value.next_step


def test_another_file_is_no_trainable_model_and_no_bundle(tmp_path):
    file = tmp_path / "net.trainable"
    file.write_bytes(b"")
    with pytest.raises(LocalError, match=r"net\.trainable is a file, not a trainable model") as caught:
        catalogue.architecture(str(file))
    assert "agent join" not in caught.value.next_step
