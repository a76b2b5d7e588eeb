"""Recurrent layers, in numpy and float64, step by step and row by row as the operators' definitions read."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.support.operators.cases import Source, cases
from tests.support.operators.check import Case

Array = npt.NDArray[np.float64]
State = tuple[Array, Array]
Weights = tuple[Array, Array, Array, Array]
Step = Callable[[Array, State, Weights], State]

STEPS, ROWS, INPUTS, HIDDEN = 3, 2, 2, 2
WAYS = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def rnn(x: Array, state: State, weights: Weights, kind: str) -> State:
    (h, c), (w, r, wb, rb) = state, weights
    found = w @ x + wb + r @ h + rb
    return (np.tanh(found) if kind == "Tanh" else np.maximum(found, 0)), c


def gru(x: Array, state: State, weights: Weights, after: int) -> State:
    h, c = state
    (wz, wr, wn), (rz, rr, rn), (az, ar, an), (bz, br, bn) = (np.split(one, 3) for one in weights)
    z, reset = sigmoid(wz @ x + az + rz @ h + bz), sigmoid(wr @ x + ar + rr @ h + br)
    n = np.tanh(wn @ x + an + (reset * (rn @ h + bn) if after else rn @ (reset * h) + bn))
    return (1 - z) * n + z * h, c


def lstm(x: Array, state: State, weights: Weights) -> State:
    (h, c), (w, r, wb, rb) = state, weights
    i, o, f, g = np.split(w @ x + wb + r @ h + rb, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def layer(step: Step, there: Sequence[bool], ways: Sequence[bool], outputs: int, *given: Array) -> tuple[Array, ...]:
    """The operator's outputs; `there` says which of its inputs are `given`."""
    named = iter(given)
    x, w, r, bias, lengths, h0, c0 = [next(named) if one else None for one in [*there, *[False] * (7 - len(there))]]
    steps, rows, hidden = x.shape[0], x.shape[1], r.shape[2]
    y, last, cell = (np.zeros(shape) for shape in ((steps, len(ways), rows, hidden), *[(len(ways), rows, hidden)] * 2))
    for way, back in enumerate(ways):
        wb, rb = np.split(bias[way], 2) if bias is not None else (np.zeros(len(w[way])), np.zeros(len(r[way])))
        for row in range(rows):
            h, c = (np.zeros(hidden) if one is None else one[way, row] for one in (h0, c0))
            count = steps if lengths is None else int(lengths[row])
            for t in range(count)[:: -1 if back else 1]:
                h, c = step(x[t, row], (h, c), (w[way], r[way], wb, rb))
                y[t, way, row] = h
            last[way, row], cell[way, row] = h, c
    return (y, last, cell)[:outputs]


def case(source: Source, op_type: str, step: Step, gates: int, **attributes: object) -> Case:
    direction = source.one_of(*WAYS)
    ways, cells = WAYS[direction], op_type == "LSTM"
    wide, count = gates * HIDDEN, len(WAYS[direction])
    x = source.normal(STEPS, ROWS, INPUTS)
    weights = [source.normal(count, wide, size) for size in (INPUTS, HIDDEN)]
    bias = source.normal(count, 2 * wide) if source.whole(0, 3) else None
    lengths = np.array([STEPS, 1], np.int32) if source.whole(0, 1) else None
    states = [source.normal(count, ROWS, HIDDEN) for _ in range(1 + cells)] if source.whole(0, 1) else [None] * (1 + cells)
    inputs = [x, *weights, bias, lengths, *states]
    there = [one is not None for one in inputs]
    outputs = source.whole(1, 2 + cells)
    exact = partial(layer, step, there, ways, outputs)
    given = {"hidden_size": HIDDEN, "direction": direction, **attributes}
    return Case(op_type, inputs, given, outputs=outputs, rows=False, exact=exact)


@cases("RNN", count=6)
def rnn_case(source: Source) -> Case:
    kind = source.one_of("Tanh", "Relu")
    given = case(source, "RNN", partial(rnn, kind=kind), 1)
    ways = len(WAYS[str(given.attributes["direction"])])
    return Case(**{**vars(given), "attributes": {**given.attributes, "activations": [kind] * ways}})


@cases("GRU", count=8)
def gru_case(source: Source) -> Case:
    after = source.whole(0, 1)
    return case(source, "GRU", partial(gru, after=after), 3, linear_before_reset=after)


@cases("LSTM", count=8)
def lstm_case(source: Source) -> Case:
    return case(source, "LSTM", lstm, 4)


def _refused(op_type: str, gates: int, why: str, more: int = 0, **attributes: Any) -> Case:  # noqa: ANN401 -- attributes are of any kind
    sizes = (INPUTS, HIDDEN)
    inputs = [np.ones((STEPS, ROWS, INPUTS), np.float32), *(np.ones((1, gates * HIDDEN, size), np.float32) for size in sizes)]
    peepholes = [None, None, None, None, np.ones((1, 3 * HIDDEN), np.float32)]
    return Case(op_type, [*inputs, *peepholes[:more]], {"hidden_size": HIDDEN, **attributes}, rows=False, refused=why)


@cases("LSTM", count=1)
def peepholes(_: Source) -> Case:
    return _refused("LSTM", 4, "peepholes", 5)


@cases("LSTM", count=1)
def coupled(_: Source) -> Case:
    return _refused("LSTM", 4, "gates are one", input_forget=1)


@cases("GRU", count=1)
def unusual(_: Source) -> Case:
    return _refused("GRU", 3, "not the usual ones", activations=["HardSigmoid", "Tanh"])


@cases("RNN", count=1)
def clipped(_: Source) -> Case:
    return _refused("RNN", 1, "clip", clip=1.0)
