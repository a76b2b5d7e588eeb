"""Activations."""

import math

import numpy as np

from tests.support.operators.cases import Source, cases
from tests.support.operators.check import Case


@cases("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish", "HardSwish", count=2)
def plain(source: Source, op_type: str) -> Case:
    return Case(op_type, [source.normal(*source.shape(), scale=2.0)])


@cases("Erf", count=2)
def error_function(source: Source) -> Case:
    return Case("Erf", [source.normal(*source.shape(), scale=2.0)], exact=np.vectorize(math.erf, otypes=[np.float64]))


@cases("LeakyRelu", "Elu", "Celu", "ThresholdedRelu", count=2)
def with_alpha(source: Source, op_type: str) -> Case:
    given = {"alpha": source.one_of(0.1, 0.7, 1.3)} if source.whole(0, 1) else {}
    return Case(op_type, [source.normal(*source.shape(), scale=2.0)], given)


@cases("Selu", count=2)
def selu(source: Source) -> Case:
    given = {"alpha": 1.2, "gamma": 0.8} if source.whole(0, 1) else {}
    return Case("Selu", [source.normal(*source.shape())], given)


@cases("HardSigmoid", count=2)
def hard_sigmoid(source: Source) -> Case:
    given = {"alpha": 0.3, "beta": 0.4} if source.whole(0, 1) else {}
    return Case("HardSigmoid", [source.normal(*source.shape(), scale=3.0)], given)


@cases("Shrink", count=2)
def shrink(source: Source) -> Case:
    """Away from its jumps at -1 and 1."""
    x = source.random.choice([-2.0, -1.5, -0.5, 0.25, 1.25, 3.0], size=source.shape()).astype(np.float32)
    return Case("Shrink", [x], {"lambd": 1.0, "bias": source.one_of(0.0, 0.5)}, step=0.125)


@cases("PRelu", count=4)
def prelu(source: Source) -> Case:
    x = source.normal(2, 3, 4)
    slopes = source.one_of((3, 1), (1,), (4,), (3, 4), (1, 3, 1))
    return Case("PRelu", [x, source.normal(*slopes)])


@cases("Clip", count=4)
def clip(source: Source) -> Case:
    bounds = [np.array(-0.5, dtype=np.float32), np.array(0.75, dtype=np.float32)]
    given = source.one_of(bounds, bounds[:1], [None, bounds[1]], [])
    return Case("Clip", [source.normal(*source.shape()), *given], {}, frozenset({1, 2}))


@cases("Softmax", "LogSoftmax", count=3)
def softmax(source: Source, op_type: str) -> Case:
    return Case(op_type, [source.normal(*source.shape())], {"axis": source.one_of(-1, 1, 2)})


@cases("Tan", "Asin", "Acos", "Atanh", count=1)
def within_one(source: Source, op_type: str) -> Case:
    return Case(op_type, [np.clip(source.normal(2, 3), -0.9, 0.9)])


@cases("Sinh", "Cosh", "Asinh", count=1)
def hyperbolic(source: Source, op_type: str) -> Case:
    return Case(op_type, [source.normal(2, 3)])


@cases("Acosh", count=1)
def above_one(source: Source) -> Case:
    return Case("Acosh", [1 + source.positive(2, 3)])
