"""Architecture hashes, first models, one training run per family, and data or model bytes that must be refused.

Trained values are decimal strings of nine places, since the last bits of a float64 sum
depend on the machine's order of addition.
"""

import numpy as np

from hushfleet.randomness import SeededRandomness
from hushfleet.training import Data, LocalTraining, train, uniform
from models import catalogue

ARCHITECTURES = (
    "softmax:64x10",
    "mlp:64x32x10",
    "mlp:64x32x10:tanh",
    "mlp:13x8x1:mse",
    "mlp:4x3x2:tanh:binary-cross-entropy",
)
WRONG_NAMES = ("softmax:64", "forest:64x10", "softmax:64x10:mse", "mlp:64x10:relu:tanh")
RUNS = ("softmax:4x3", "mlp:4x5x3", "mlp:4x3x2:tanh:binary-cross-entropy", "mlp:4x2x2:tanh:mse")
SETTINGS = {"local_steps": 5, "batch_size": 4, "learning_rate": 0.25, "proximal": 0.125, "optimizer": "momentum", "momentum": 0.5}
ROWS = 11


def build() -> dict[str, object]:
    return {
        "architectures": [_architecture(name) for name in ARCHITECTURES],
        "names": [{"name": name, "refusal": "model-name"} for name in WRONG_NAMES],
        "runs": [_run(name) for name in RUNS],
        "data": [
            _data("good", {}, None, None),
            _data("a label beyond the classes", {"targets": [0, 1, 3, 0]}, "data-label", 2),
            _data("a negative label", {"targets": [0, -1, 3, 0]}, "data-label", 1),
            _data("a label between two classes", {"targets": [0, 1, 2, 0.5]}, "data-label", 3),
            _data("a value that is no number", {"features": [[0, 0], [0, 0], [0, "nan"], [0, "nan"]]}, "data-not-finite", 2),
            _data("an infinite label", {"targets": ["inf", 0, 0, 0]}, "data-not-finite", 0),
            _data("a feature too many", {"features": [[0, 0, 0]] * 4}, "data-shape", 0),
            _data("a target without features", {"targets": [0, 1, 2, 0, 1]}, "data-shape", 4),
            _data("no rows", {"features": [], "targets": []}, "data-empty", None),
        ],
        "models": [
            _model("good", "0000803f000000c0", None),
            _model("big-endian", "3f800000c0000000", None),
            _model("at the bound", "0000803f00401c46", None),
            _model("just above the bound", "0000803f01401c46", "model-too-large"),
            _model("a value that is no number", "0000803f0000c07f", "model-not-finite"),
            _model("negative infinity", "000080ff000000c0", "model-not-finite"),
            _model("a byte short", "0000803f000000", "model-shape"),
            _model("a value too many", "0000803f000000c000000000", "model-shape"),
        ],
    }


def _architecture(name):
    architecture = catalogue.architecture(name)
    return {
        "name": name,
        "graph": architecture.graph.hex(),
        "loss": architecture.loss,
        "shapes": [[part, list(shape)] for part, shape in architecture.shapes],
        "dimension": architecture.dimension,
        "digest": architecture.digest.hex(),
    }


def _run(name):
    model = catalogue.trainer(name)
    features = 2.0 * uniform(SeededRandomness(b"features"), 4 * ROWS).reshape(ROWS, 4) - 1.0
    first = model.initial(SeededRandomness(b"first"))
    update = train(model, first, LocalTraining.make(**SETTINGS), Data(features, _targets(name)), SeededRandomness(b"batches"))
    return {
        "name": name,
        "settings": SETTINGS,
        "features": features.tolist(),
        "targets": _targets(name).tolist(),
        "first_seed": b"first".hex(),
        "first": first.to_bytes().hex(),
        "batches_seed": b"batches".hex(),
        "update": [f"{value + 0.0:.9f}" for value in np.round(update.vector, 9)],
    }


def _targets(name):
    numbers = np.arange(2 * ROWS)
    if name.endswith("mse"):
        return (numbers % 5 - 2.0).reshape(ROWS, 2) / 2
    return (numbers % 3 % 2).reshape(ROWS, 2) if name.endswith("binary-cross-entropy") else numbers[:ROWS] % 3


def _data(what, changes, refusal, row):
    good = {"features": [[0, 1], [1, 0], [0.5, 0.5], [1, 1]], "targets": [0, 1, 2, 0]}
    return {"what": what, "model": "softmax:2x3", **good, **changes, "refusal": refusal, "row": row}


def _model(what, data, refusal):
    return {"what": what, "bytes": data, "dimension": 2, "max_abs": 1e4, "refusal": refusal}
