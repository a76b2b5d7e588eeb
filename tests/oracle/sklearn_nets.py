"""Fitted scikit-learn models, exported by skl2onnx, each with the same function written in torch as the oracle."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from skl2onnx import to_onnx
from sklearn.datasets import make_classification
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.oracle.nets import Net

ROWS, WIDTH, CLASSES = 8, 5, 3


class Fitted(NamedTuple):
    """An estimator, and its twin. Not `plain`: probabilities leave the file as a sequence of maps, as skl2onnx has it by default."""

    estimator: object
    twin: Net
    plain: bool = True


def export(fitted: Fitted, path: Path) -> None:
    """The file as skl2onnx makes it, with class labels and probabilities among its outputs."""
    options = {"zipmap": False} if hasattr(fitted.estimator, "classes_") and fitted.plain else None
    model = to_onnx(fitted.estimator, fitted.twin.features.numpy()[:1], options=options, target_opset=18)
    path.write_bytes(model.SerializeToString())


def zoo() -> dict[str, Fitted]:
    """Every model by name, the same at every call."""
    x, classes = make_classification(60, WIDTH, n_informative=4, n_redundant=0, n_classes=CLASSES, random_state=7)
    x = x.astype(np.float32)
    values = (x @ np.linspace(-1, 1, WIDTH) + 0.3 * classes).astype(np.float32)
    nets = {"max_iter": 3, "hidden_layer_sizes": (6,), "random_state": 3, "alpha": 0.0, "solver": "lbfgs"}
    fitted = {
        "mlp-classifier": MLPClassifier(**nets, activation="tanh").fit(x, classes),
        "mlp-regressor": MLPRegressor(**nets).fit(x, values),
        "logistic": LogisticRegression().fit(x, classes),
        "linear": LinearRegression().fit(x, values),
        "scaled-mlp": make_pipeline(StandardScaler(), MLPClassifier(**nets)).fit(x * 3 + 1, classes),
    }
    rows, named = (x[:ROWS], classes[:ROWS], values[:ROWS]), np.array(["cold", "warm", "hot"])[classes]
    zoo = {f"sklearn-{name}": Fitted(estimator, _twin(estimator, *rows)) for name, estimator in fitted.items()}
    two = LogisticRegression().fit(x[classes < 2], named[classes < 2])  # classes are sorted by name: cold, warm
    return zoo | {"sklearn-two-classes": Fitted(two, _twin(two, x[:ROWS], classes[:ROWS] % 2, values[:ROWS]), plain=False)}


def _twin(estimator, x, classes, values) -> Net:
    classifies = hasattr(estimator, "classes_")
    targets = torch.tensor(classes) if classifies else torch.tensor(values[:, None])
    return Net(torch.nn.Sequential(*_layers(estimator)), torch.tensor(x), targets, "softmax-cross-entropy" if classifies else "mse")


def _layers(estimator):
    steps = [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    for step in steps:
        if isinstance(step, StandardScaler):
            yield Scale(step)
        elif hasattr(step, "coefs_"):
            inner = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[step.activation]
            for number, (weight, bias) in enumerate(zip(step.coefs_, step.intercepts_, strict=True)):
                yield from [inner()] * bool(number) + [_linear(weight.T, bias)]
        elif isinstance(step, LogisticRegression) and len(step.coef_) == 1:
            halves = np.array([[-0.5], [0.5]])  # sigmoid(z) is softmax(-z/2, z/2)
            yield _linear(halves * step.coef_, halves[:, 0] * step.intercept_)
        else:
            yield _linear(np.atleast_2d(step.coef_), np.atleast_1d(step.intercept_))


class Scale(torch.nn.Module):
    """A scaler has no parameter: its statistics stay as they are."""

    def __init__(self, scaler):
        super().__init__()
        self.mean, self.scale = torch.tensor(scaler.mean_), torch.tensor(scaler.scale_)

    def forward(self, x):
        return (x - self.mean) / self.scale


def _linear(weight, bias):
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = torch.tensor(weight, dtype=torch.float32), torch.tensor(bias, dtype=torch.float32)
    return layer
