"""Reductions."""

import numpy as np

from tests.support.operators.cases import Source, cases
from tests.support.operators.check import Case


@cases("ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceLogSum", "ReduceSumSquare", count=2)
def smooth(source: Source, op_type: str) -> Case:
    values = source.positive(2, 3, 4) if op_type == "ReduceLogSum" else source.normal(2, 3, 4)
    return Case(op_type, [values, *_axes(source)], {"keepdims": source.whole(0, 1)}, rows=False)


@cases("ReduceMax", "ReduceMin", count=3)
def chosen(source: Source, op_type: str) -> Case:
    return Case(op_type, [source.distinct(2, 3, 4), *_axes(source)], {"keepdims": source.whole(0, 1)}, rows=False)


@cases("ReduceSum", "ReduceMean", count=1)
def along_rows(source: Source, op_type: str) -> Case:
    return Case(op_type, [source.normal(2, 3, 4), np.array([1])], {"keepdims": source.whole(0, 1)})


@cases("CumSum", count=3)
def running(source: Source) -> Case:
    given = {"exclusive": source.whole(0, 1), "reverse": source.whole(0, 1)}
    return Case("CumSum", [source.normal(2, 3, 4), np.array(source.whole(1, 2))], given, step=1.0)


@cases("ReduceProd", count=4)
def product(source: Source) -> Case:
    values = source.normal(2, 3, 4)
    values[0, 0, : source.whole(0, 2)] = 0  # no, one or two factors of zero
    return Case("ReduceProd", [values, np.array(source.one_of([1], [2], [1, 2]))], {"keepdims": source.whole(0, 1)}, rows=False)


@cases("TopK", count=3)
def largest(source: Source) -> Case:
    given = {"axis": source.one_of(1, -1), "largest": source.whole(0, 1)}
    return Case("TopK", [source.distinct(2, 3, 4), np.array([2])], given, outputs=2)


def _axes(source: Source) -> list[np.ndarray]:  # type: ignore[type-arg]
    axes = source.one_of([1], [2], [-1], [1, 2], [0], [0, 2], [0, 1, 2], None)
    return [] if axes is None else [np.array(axes)]
