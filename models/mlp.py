"""A multi-layer perceptron: dense layers with one activation between them, raw outputs at the end."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from hushfleet.randomness import Randomness
from hushfleet.training import Architecture, GlobalModel, require_features, uniform
from models.losses import LOSSES, Array, FloatArray, Loss


@dataclass(frozen=True, slots=True)
class Activation:
    """`apply` and its derivative written in terms of its own result; `limit(fan_in, fan_out)` bounds the first weights."""

    apply: Callable[[FloatArray], FloatArray]
    slope: Callable[[FloatArray], FloatArray]
    limit: Callable[[int, int], float]


def _relu(values: FloatArray) -> FloatArray:
    return np.maximum(values, 0.0)


def _relu_slope(results: FloatArray) -> FloatArray:
    return (results > 0).astype(np.float64)


def _tanh_slope(results: FloatArray) -> FloatArray:
    return 1.0 - np.square(results)


def he(fan_in: int, fan_out: int) -> float:  # noqa: ARG001 -- one signature with `glorot`
    """Uniform bound of He et al. 2015, for layers that a relu follows."""
    return math.sqrt(6.0 / fan_in)


def glorot(fan_in: int, fan_out: int) -> float:
    """Uniform bound of Glorot and Bengio 2010."""
    return math.sqrt(6.0 / (fan_in + fan_out))


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "relu": Activation(_relu, _relu_slope, he),
        "tanh": Activation(np.tanh, _tanh_slope, glorot),
    }
)


@dataclass(frozen=True, slots=True)
class Mlp:
    """Layer i = activation(layer i-1 weights.i + bias.i), the last one without activation; `sizes` from inputs to outputs."""

    architecture: Architecture
    sizes: tuple[int, ...]
    activation: Activation
    loss: Loss

    def outputs(self, parameters: FloatArray, features: Array) -> FloatArray:
        """Raw outputs (n, sizes[-1])."""
        return self._layers(parameters, features)[-1]

    def gradient(self, parameters: FloatArray, features: Array, targets: Array) -> tuple[float, FloatArray]:
        """Mean loss of the batch and its gradient (d,), by back-propagation."""
        part = self.architecture.split(parameters)
        layers = self._layers(parameters, features)
        loss, slope = self.loss.value_and_slope(layers[-1], targets)
        gradients = {}
        for i in reversed(range(len(self.sizes) - 1)):
            gradients[f"weights.{i}"] = layers[i].T @ slope
            gradients[f"bias.{i}"] = slope.sum(axis=0)
            if i > 0:
                slope = (slope @ part[f"weights.{i}"].T) * self.activation.slope(layers[i])
        return loss, self.architecture.join(gradients)

    def check(self, features: Array, targets: Array) -> None:
        """Features (n, sizes[0]), targets as the loss wants them for sizes[-1] outputs."""
        require_features(features, (self.sizes[0],))
        self.loss.check(targets, self.sizes[-1])

    def made_up(self, rows: int) -> tuple[Array, Array]:
        """Features between 0 and 1, and a target of the loss each."""
        return np.linspace(0.0, 1.0, rows * self.sizes[0]).reshape(rows, self.sizes[0]), self.loss.made_up(rows, self.sizes[-1])

    def initial(self, randomness: Randomness) -> GlobalModel:
        """Weights uniform within the activation's bound (the last layer: Glorot's), biases zero."""
        last = len(self.sizes) - 2
        parts = {}
        for i, (fan_in, fan_out) in enumerate(pairwise(self.sizes)):
            limit = (glorot if i == last else self.activation.limit)(fan_in, fan_out)
            parts[f"weights.{i}"] = limit * (2.0 * uniform(randomness, fan_in * fan_out) - 1.0).reshape(fan_in, fan_out)
            parts[f"bias.{i}"] = np.zeros(fan_out)
        return GlobalModel(0, self.architecture.join(parts).astype(np.float32))

    def _layers(self, parameters: FloatArray, features: Array) -> list[FloatArray]:
        part = self.architecture.split(parameters)
        last = len(self.sizes) - 2
        layers = [np.asarray(features, dtype=np.float64)]
        for i in range(last + 1):
            values = layers[-1] @ part[f"weights.{i}"] + part[f"bias.{i}"]
            layers.append(values if i == last else self.activation.apply(values))
        return layers


def build(name: str, sizes: Sequence[int], activation: str, loss: str) -> Mlp:
    """`sizes` = (inputs, hidden ..., outputs)."""
    shapes = []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        shapes += [(f"weights.{i}", (fan_in, fan_out)), (f"bias.{i}", (fan_out,))]
    graph = f"numpy/mlp/{activation}/{'x'.join(map(str, sizes))}".encode()
    return Mlp(Architecture(name, tuple(shapes), loss, graph), tuple(sizes), ACTIVATIONS[activation], LOSSES[loss])
