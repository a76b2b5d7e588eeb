"""Softmax regression with bias: a linear model of class scores under softmax cross-entropy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hushfleet.randomness import Randomness
from hushfleet.training import Architecture, GlobalModel, require_features
from models.losses import LOSSES, Array, FloatArray, Loss


@dataclass(frozen=True, slots=True)
class Softmax:
    """Scores = x weights + bias; x (n, inputs), weights (inputs, classes), bias (classes,)."""

    architecture: Architecture
    inputs: int
    loss: Loss

    def outputs(self, parameters: FloatArray, features: Array) -> FloatArray:
        """Scores (n, classes)."""
        part = self.architecture.split(parameters)
        return features @ part["weights"] + part["bias"]

    def gradient(self, parameters: FloatArray, features: Array, targets: Array) -> tuple[float, FloatArray]:
        """Mean cross-entropy of the batch and its gradient (d,)."""
        loss, slope = self.loss.value_and_slope(self.outputs(parameters, features), targets)
        return loss, self.architecture.join({"weights": features.T @ slope, "bias": slope.sum(axis=0)})

    def check(self, features: Array, targets: Array) -> None:
        """Features (n, inputs), targets (n,) whole numbers in [0, classes)."""
        require_features(features, (self.inputs,))
        self.loss.check(targets, dict(self.architecture.shapes)["bias"][0])

    def made_up(self, rows: int) -> tuple[Array, Array]:
        """Features between 0 and 1, and a class each."""
        classes = dict(self.architecture.shapes)["bias"][0]
        return np.linspace(0.0, 1.0, rows * self.inputs).reshape(rows, self.inputs), self.loss.made_up(rows, classes)

    def initial(self, randomness: Randomness) -> GlobalModel:  # noqa: ARG002 -- every family starts through one signature
        """All zeros: the problem is convex, no start is better."""
        return GlobalModel(0, np.zeros(self.architecture.dimension, dtype=np.float32))


def build(name: str, sizes: Sequence[int], activation: str, loss: str) -> Softmax:  # noqa: ARG001 -- one signature for all families
    """`sizes` = (inputs, classes)."""
    inputs, classes = sizes
    graph = f"numpy/softmax/{inputs}x{classes}".encode()
    return Softmax(Architecture(name, (("weights", (inputs, classes)), ("bias", (classes,))), loss, graph), inputs, LOSSES[loss])
