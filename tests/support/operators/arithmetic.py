"""Elementwise arithmetic."""

import numpy as np

from tests.support.operators.cases import Source, cases
from tests.support.operators.check import Case


@cases("Add", "Sub", "Mul", "Div", "Max", "Min", count=3)
def broadcast(source: Source, op_type: str) -> Case:
    x = source.normal(2, 3, 4)
    other = source.one_of((2, 3, 4), (3, 1), (4,), (1,), (1, 3, 4), (2, 1, 4), ())
    y = source.positive(*other) * source.one_of(1.0, -1.0)
    return Case(op_type, [x, y.astype(np.float32)], rows=other[:1] != (2,))


@cases("Sum", "Max", "Min", "Mean", count=1)
def several(source: Source, op_type: str) -> Case:
    return Case(op_type, [source.normal(2, 3, 4), source.normal(3, 1), source.normal(4)])


@cases("Abs", "Neg", "Exp", "Sin", "Cos", "Identity", "Atan", count=1)
def anywhere(source: Source, op_type: str) -> Case:
    return Case(op_type, [source.normal(*source.shape())])


@cases("Log", "Sqrt", "Reciprocal", count=2)
def above_zero(source: Source, op_type: str) -> Case:
    return Case(op_type, [source.positive(*source.shape())])


@cases("Pow", count=5)
def power(source: Source) -> Case:
    exponent = source.one_of(2.0, 3.0, 0.5, -1.0, 1.0)
    x = source.positive(2, 3, 4) if exponent in {0.5, -1.0} else source.normal(2, 3, 4)
    return Case("Pow", [x, np.array(exponent, dtype=np.float32)], {}, frozenset({1}))


@cases("Where", count=3)
def where(source: Source) -> Case:
    chosen = source.random.random(size=source.one_of((2, 3, 4), (3, 1), (4,))) < 0.5
    return Case("Where", [chosen, source.normal(2, 3, 4), source.normal(*source.one_of((2, 3, 4), (4,), (1,)))], rows=False)


@cases("Cast", count=1)
def cast(source: Source) -> Case:
    return Case("Cast", [source.normal(2, 3)], {"to": 1}, step=1.0)


@cases("CastLike", count=1)
def cast_like(source: Source) -> Case:
    return Case("CastLike", [source.normal(2, 3), source.normal(1)], {}, frozenset({1}))


@cases("Mod", count=1)
def remainder(source: Source) -> Case:
    return Case("Mod", [source.normal(2, 3, scale=3.0), np.array(1.25, dtype=np.float32)], {"fmod": 1}, frozenset({1}))


@cases("Mod", count=1)
def remainder_by_a_parameter(source: Source) -> Case:
    return Case("Mod", [source.normal(2, 3), source.positive(3)], {"fmod": 1}, refused="divisor")


@cases("Clip", count=1)
def clip_at_a_parameter(source: Source) -> Case:
    return Case("Clip", [source.normal(2, 3), np.array(-0.5, dtype=np.float32)], refused="bounds")
