"""The numpy models, and a trainer of a reader's own, under the trainer contract."""

import numpy as np

from hushfleet.randomness import SeededRandomness
from hushfleet.training import Architecture, Data, Trainer, require_features, require_targets, uniform
from models import catalogue
from tests.support.trainer_contract import Array, LabelledTrainerContract, TrainerContract


def draws(name: str, *shape: int) -> Array:
    """Numbers in [-1, 1)."""
    return 2.0 * uniform(SeededRandomness(name.encode()), int(np.prod(shape))).reshape(shape) - 1.0


class NamedModel:
    """A contract's trainer from the catalogue; four features."""

    name: str

    def trainer(self) -> Trainer:
        return catalogue.trainer(self.name)


class Classes(NamedModel):
    bad_label = 3.0

    def data(self, rows: int) -> Data:
        return Data(draws("features", rows, 4), np.arange(rows) % 3)


class Bits(NamedModel):
    bad_label = 2.0

    def data(self, rows: int) -> Data:
        return Data(draws("features", rows, 4), (draws("bits", rows, 2) > 0).astype(np.int64))


class Values(NamedModel):
    def data(self, rows: int) -> Data:
        return Data(draws("features", rows, 4), draws("values", rows, 2))


class TestSoftmax(Classes, LabelledTrainerContract):
    name = "softmax:4x3"


class TestMlpWithSoftmaxCrossEntropy(Classes, LabelledTrainerContract):
    name = "mlp:4x6x5x3:tanh"


class TestMlpWithRelu(Classes, LabelledTrainerContract):
    name = "mlp:4x6x3"


class TestMlpWithBinaryCrossEntropy(Bits, LabelledTrainerContract):
    name = "mlp:4x5x2:tanh:binary-cross-entropy"


class TestMlpWithMeanSquaredError(Values, TrainerContract):
    name = "mlp:4x5x2:tanh:mse"


class TestMlpWithoutHiddenLayers(Values, TrainerContract):
    name = "mlp:4x2:mse"


class Line:
    """A trainer in ten lines: y = w x + b, squared error."""

    architecture = Architecture("line", (("w", (1,)), ("b", (1,))), "mse", b"line")

    def check(self, features: Array, targets: Array) -> None:
        require_features(features, (1,))
        require_targets(targets, 1)

    def gradient(self, parameters: Array, features: Array, targets: Array) -> tuple[float, Array]:
        error = features[:, 0] * parameters[0] + parameters[1] - targets
        return float(np.mean(error**2)), 2 * np.array([np.mean(error * features[:, 0]), np.mean(error)])


class TestATrainerOfTheReadersOwn(TrainerContract):
    def trainer(self) -> Trainer:
        return Line()

    def data(self, rows: int) -> Data:
        return Data(draws("features", rows, 1), draws("values", rows))
