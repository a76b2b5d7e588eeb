import pytest

from models import catalogue


@pytest.mark.parametrize(
    "name", ["softmax:64x10", "softmax:1x2", "mlp:13x1:mse", "mlp:64x32x10", "mlp:784x128x10:tanh", "mlp:4x3x2:tanh:binary-cross-entropy"]
)
def test_a_model_is_found_by_hash_and_size(name):
    wanted = catalogue.architecture(name)

    assert catalogue.find(wanted.digest, wanted.dimension).architecture == wanted


@pytest.mark.parametrize("dimension", [-1, 0, 1, 2, 650, 1_000_000])
def test_an_unknown_hash_is_not_found(dimension):
    assert catalogue.find(bytes(32), dimension) is None


def test_deeper_models_are_not_guessed():
    deep = catalogue.architecture("mlp:8x6x4x2")

    assert catalogue.find(deep.digest, deep.dimension) is None
