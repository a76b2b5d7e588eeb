"""Nets of PyTorch (both exporters), Keras and scikit-learn train as their own makers' gradients say, or are refused by name.

The files under tests/golden/onnx are made by `make oracle`; the gradients in them are torch's, in float64.
"""

import json
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from hushfleet.errors import LocalError, Refusal
from models.onnx.prepare import prepare
from models.onnx.runtime import open_session
from models.onnx.trainable import TrainableModel
from tests.support.refusals import refused

GOLDEN = Path(__file__).parents[3] / "golden" / "onnx"
ZOO = json.loads((GOLDEN / "zoo.json").read_text())
TRAINABLE = sorted(name for name, entry in ZOO.items() if not entry["refused"])
REFUSED = sorted(name for name, entry in ZOO.items() if entry["refused"])
CLOSE = 1e-4  # of a tensor's largest gradient


class Tensor(NamedTuple):
    """A parameter's values and its gradient."""

    value: np.ndarray
    gradient: np.ndarray


def answers(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / ZOO[name]["answers"]) as stored:
        return dict(stored)


def prepared(name: str) -> TrainableModel:
    return prepare(GOLDEN / f"{name}.onnx", loss=ZOO[name]["loss"], logits=ZOO[name]["logits"])


def trained(trainable: TrainableModel, features: np.ndarray, targets: np.ndarray) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients by plain onnxruntime, with nothing but what the manifest says."""
    manifest, feed, begin = trainable.manifest, {}, 0
    for one in manifest.parameters:
        feed[one.input] = trainable.initial[begin : begin + one.size].reshape(one.shape)
        begin += one.size
    inputs = {manifest.features[0].name: features, manifest.targets.name: targets}
    wanted = [manifest.loss_output, *(one.gradient for one in manifest.parameters)]
    loss, *gradients = open_session(trainable.train).run(wanted, feed | inputs)
    return float(loss), {one.name: Tensor(feed[one.input], gradient) for one, gradient in zip(manifest.parameters, gradients, strict=True)}


def error(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference of two gradients, in units of the largest gradient, whatever the order and shape that an exporter chose.

    Values tell which element is which: no two of a tensor are the same, or all are and an exporter left the order alone.
    """
    order, other = (np.argsort(one.value, axis=None, kind="stable") for one in (ours, theirs))
    difference = np.abs(ours.gradient.ravel()[order] - theirs.gradient.ravel()[other]).max()
    return float(difference / np.abs(theirs.gradient).max())


def key(tensor: Tensor) -> bytes:
    return np.sort(tensor.value, axis=None).astype(np.float32).tobytes()


def errors(ours: dict[str, Tensor], stored: dict[str, np.ndarray], folded: list[str]) -> Iterator[tuple[str, float]]:
    """Per parameter of the framework the error of ours, matched by value; parameters with the same values in the order that fits best."""
    theirs = {name: Tensor(stored[f"value:{name}"], stored[f"gradient:{name}"]) for name in named(stored) if name not in folded}
    for same in {key(tensor) for tensor in theirs.values()}:
        wanted = [name for name in theirs if key(theirs[name]) == same]
        found = [tensor for tensor in ours.values() if key(tensor) == same]
        assert len(found) == len(wanted), f"{wanted} are {len(found)} parameters of the trainable model"
        best = min(permutations(found), key=lambda order: sum(map(error, order, (theirs[name] for name in wanted))))
        yield from ((name, error(tensor, theirs[name])) for name, tensor in zip(wanted, best, strict=True))


def joined(ours: dict[str, Tensor], stored: dict[str, np.ndarray], folded: list[str]) -> Iterator[tuple[str, float]]:
    """The same for parameters that an exporter has joined to others, as those of a recurrent layer: each value is found by itself."""
    values, gradients = (np.concatenate([one.ravel() for one in parts]) for parts in zip(*ours.values(), strict=True))
    order = np.argsort(values)
    for name in folded:
        wanted, gradient = stored[f"value:{name}"].ravel(), stored[f"gradient:{name}"].ravel()
        places = order[np.clip(np.searchsorted(values[order], wanted), 0, len(order) - 1)]
        if (values[places] == wanted).all():
            yield name, float(np.abs(gradients[places] - gradient).max() / max(np.abs(gradient).max(), 1e-6))


def named(stored: dict[str, np.ndarray]) -> list[str]:
    return [name.removeprefix("gradient:") for name in stored if name.startswith("gradient:")]


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradients_are_those_of_the_framework(name):
    stored = answers(name)
    loss, ours = trained(prepared(name), stored["features"], stored["targets"])

    found, parts = dict(errors(ours, stored, ZOO[name]["folded"])), dict(joined(ours, stored, ZOO[name]["folded"]))

    assert loss == pytest.approx(float(stored["loss"]), rel=1e-5)
    assert set(found) == set(named(stored)) - set(ZOO[name]["folded"])
    assert {parameter: worst for parameter, worst in (found | parts).items() if not worst < CLOSE} == {}
    if any(kind in name for kind in ("lstm", "gru", "rnn", "remembering")):
        assert set(found) | set(parts) == set(named(stored))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_is_refused_by_name(name):
    with refused(Refusal(ZOO[name]["refused"]), LocalError):
        prepared(name)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_node_and_what_to_do(name):
    with pytest.raises(LocalError, match="Round") as caught:
        prepared(name)

    assert caught.value.next_step


@pytest.mark.parametrize("name", ["lenet.script", "tied.dynamo", "fresh.script"])
def test_a_wrong_gradient_would_be_noticed(name):
    stored = answers(name)
    _, ours = trained(prepared(name), stored["features"], stored["targets"])

    for parameter in named(stored):
        scaled = stored | {f"gradient:{parameter}": stored[f"gradient:{parameter}"] * np.float32(1.01)}
        assert max(worst for _, worst in errors(ours, scaled, [])) > CLOSE


def test_the_zoo_has_every_source_and_at_least_a_dozen_nets():
    assert len({entry["answers"] for name, entry in ZOO.items() if not entry["refused"]}) >= 12
    assert {name.rpartition(".")[2] for name in ZOO} >= {"script", "dynamo", "script-old", "constants", "skl2onnx", "keras"}
    assert {entry["loss"] for entry in ZOO.values()} == {"softmax-cross-entropy", "mse", "huber", "binary-cross-entropy"}
