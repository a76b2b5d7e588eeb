"""The demo's convolutional net: the file that is shipped, and that it learns digits from brightness alone."""

import numpy as np
from sklearn.datasets import load_digits

from hushfleet.randomness import SeededRandomness
from hushfleet.training import LocalTraining, train
from models import catalogue
from models.evaluation import evaluate
from simulation import lenet
from simulation.digits import split
from simulation.edges import brightness
from tests.support import onnx_nets


def test_the_shipped_file_is_what_its_generator_writes():
    assert lenet.FILE.read_bytes() == onnx_nets.lenet()


def test_it_becomes_a_model_of_the_catalogue_that_learns(tmp_path):
    model, digits = catalogue.trainer(lenet.make_trainable(tmp_path)), split(1, SeededRandomness(b"lenet"), brightness)
    first = model.initial(SeededRandomness(b""))
    update = train(model, first, LocalTraining.make(400, 32, 0.1), digits.devices[0], SeededRandomness(b"batches"))
    learnt = type(first)(1, (first.parameters + update.vector).astype(np.float32))
    assert model.architecture.dimension == 666
    assert evaluate(model, first, digits.holdout).accuracy < 0.3
    assert evaluate(model, learnt, digits.holdout).accuracy > 0.85


def test_brightness_is_one_for_pictures_of_another_contrast_and_nothing_for_a_blank_one():
    pixels = load_digits().data[:20]
    features = brightness(pixels)
    np.testing.assert_allclose(features.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 8)
    np.testing.assert_allclose(brightness(3 * pixels + 5), features)
    assert not brightness(np.full((1, 64), 7.0)).any()
