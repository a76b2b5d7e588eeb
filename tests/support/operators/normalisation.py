"""Normalisations and dropout."""

import numpy as np

from tests.support.operators.cases import Source, cases
from tests.support.operators.check import Case


@cases("BatchNormalization", count=4)
def batch(source: Source) -> Case:
    x = source.normal(*source.shape(source.one_of(2, 3, 4)))
    channels = x.shape[1]
    vectors = [source.normal(channels), source.normal(channels), source.normal(channels), source.positive(channels)]
    return Case("BatchNormalization", [x, *vectors], {"epsilon": source.one_of(1e-5, 1e-3)}, frozenset({3, 4}))


@cases("BatchNormalization", count=1)
def batch_with_statistics_to_train(source: Source) -> Case:
    vectors = [source.normal(3), source.normal(3), source.normal(3), source.positive(3)]
    return Case("BatchNormalization", [source.normal(2, 3, 4), *vectors], refused="statistics are to be trained")


@cases("LayerNormalization", count=5)
def layer(source: Source) -> Case:
    x = source.normal(*source.shape(4))
    axis = source.one_of(-1, -2, 3, 2, 1)
    rest = x.shape[axis:]
    inputs = [x, source.normal(*rest), source.normal(*rest)]
    return Case("LayerNormalization", inputs[: source.whole(2, 3)], {"axis": axis, "epsilon": source.one_of(1e-5, 1e-2)})


@cases("InstanceNormalization", count=3)
def instance(source: Source) -> Case:
    x = source.normal(2, 3, *source.wholes(source.whole(1, 2), 3, 5))
    return Case("InstanceNormalization", [x, source.normal(3), source.normal(3)], {"epsilon": source.one_of(1e-5, 1e-2)})


@cases("GroupNormalization", count=3)
def group(source: Source) -> Case:
    groups = source.whole(1, 3)
    x = source.normal(2, groups * source.whole(1, 2), *source.wholes(source.whole(1, 2), 3, 5))
    return Case("GroupNormalization", [x, source.normal(groups), source.normal(groups)], {"num_groups": groups})


@cases("LpNormalization", count=3)
def lp(source: Source) -> Case:
    return Case("LpNormalization", [source.normal(*source.shape(3))], {"axis": source.one_of(-1, 1), "p": source.whole(1, 2)})


@cases("Dropout", count=2)
def dropout(source: Source) -> Case:
    inputs = [source.normal(*source.shape()), np.array(0.3, dtype=np.float32), np.array(False)]
    return Case("Dropout", inputs[: source.one_of(1, 3)], {}, frozenset({1}))


@cases("LRN", count=4)
def lrn(source: Source) -> Case:
    size, bias, alpha, beta = source.one_of(1, 2, 3, 5), source.one_of(1.0, 2.0), 0.4, 0.6

    def exact(x: np.ndarray) -> np.ndarray:
        first, last = (size - 1) // 2, size // 2
        sums = [np.square(x[:, max(0, c - first) : c + last + 1]).sum(axis=1, keepdims=True) for c in range(x.shape[1])]
        return np.asarray(x / (bias + alpha / size * np.concatenate(sums, axis=1)) ** beta)

    return Case("LRN", [source.normal(2, 4, 2, 2)], {"size": size, "alpha": alpha, "beta": beta, "bias": bias}, exact=exact)
