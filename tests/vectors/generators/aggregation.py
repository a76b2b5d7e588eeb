"""Release check, mean and global optimisers. Floats stand as the hex of their eight little-endian bytes."""

import numpy as np

from hushfleet.aggregation import OptimizerState, mean_update, optimizer
from hushfleet.randomness import SeededRandomness

DIMENSION, PADDED, SCALE, COUNT = 70, 128, 1234.5, 7
PLAN_HASH = bytes(range(32))
OPTIMIZERS = (
    ("fedavg", {"learning_rate": 0.5}),
    ("fedavgm", {"momentum": 0.8, "learning_rate": 1.0}),
    ("fedadam", {"beta1": 0.9, "beta2": 0.99, "tau": 1e-3, "learning_rate": 0.05}),
)


def build() -> dict[str, object]:
    total = _integers(b"total", PADDED)
    return {
        "mean": {
            "total": total.tolist(),
            "plan_hash": PLAN_HASH.hex(),
            "dimension": DIMENSION,
            "scale": SCALE,
            "count": COUNT,
            "mean": _hex(mean_update(total, plan_hash=PLAN_HASH, dimension=DIMENSION, scale=SCALE, count=COUNT, slot_bits=20).mean),
        },
        "optimizers": [_steps(name, settings) for name, settings in OPTIMIZERS],
        "norm": _norms(),
        "model": [
            _model("within", [0.0, -8.0, 8.0], None),
            _model("one too large", [0.0, 8.000001], "model-too-large"),
            _model("one infinite", [float("-inf"), 0.0], "model-not-finite"),
            _model("one no number", [0.0, float("nan")], "model-not-finite"),
        ],
        "state": [
            {"what": "half a moment", "bytes": "0000000100000001" + "00" * 4, "refusal": "message-malformed"},
            {"what": "three moments", "bytes": "0000000100000003" + "00" * 24, "refusal": "message-malformed"},
            {"what": "a moment that is no number", "bytes": "0000000100000001" + "000000000000f87f", "refusal": "model-not-finite"},
        ],
    }


def _integers(seed, count):
    return np.frombuffer(SeededRandomness(seed).octets(2 * count), "<i2").astype(np.int64)


def _hex(values):
    return np.asarray(values).astype("<f8").tobytes().hex()


def _steps(name, settings):
    chosen, state, parameters = optimizer(name, **settings), OptimizerState.initial(5), _integers(b"parameters", 5) / 2**12
    steps, start = [], parameters
    for number in range(3):
        update = _integers(bytes([number]), 5) / 2**15
        state, parameters = chosen.step(state, parameters, update)
        steps.append({"update": _hex(update), "parameters": _hex(parameters), "state": state.to_bytes().hex()})
    return {"name": name, "settings": settings, "start": _hex(start), "steps": steps}


def _norms():
    """With k = 4, B2 = 9, V = 25 and d' = 100 the bound is 12 + 110 + 120 = 242 exactly; without noise it is 12."""
    figures = {"count": 4, "b2": 9, "variance": 25}
    plain = {**figures, "variance": 0}
    return [
        _norm("at the bound", [242], figures, None),
        _norm("above it by the least amount", [242, 1], figures, "release-norm"),
        _norm("without privacy, at the bound", [0, -12], plain, None),
        _norm("without privacy, above it", [1, -12], plain, "release-norm"),
        _norm("a square that wraps to 0", [2**32], figures, "release-norm"),
    ]


def _norm(what, beginning, figures, refusal):
    return {"what": what, "total": beginning + [0] * (100 - len(beginning)), **figures, "refusal": refusal}


def _model(what, parameters, refusal):
    return {"what": what, "parameters": _hex(parameters), "max_abs": 8.0, "refusal": refusal}
