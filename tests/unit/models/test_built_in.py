import pytest

from models import catalogue


@pytest.mark.parametrize("name", ["softmax:64x10", "mlp:13x1:mse", "mlp:8x6x4x2", "mlp:4x3x2:tanh:binary-cross-entropy"])
def test_a_numpy_model_is_built_by_the_name_that_a_plan_gives_it(name):
    assert catalogue.built_in(name).architecture == catalogue.architecture(name)


@pytest.mark.parametrize("name", ["", "softmax", "softmax:0x1", "own model", "../net.trainable", "/srv/net.trainable"])
def test_any_other_name_builds_nothing_and_reads_nothing(name, monkeypatch):
    monkeypatch.setattr(catalogue, "load_trainable", lambda path: pytest.fail(f"read {path}"))

    assert catalogue.built_in(name) is None
