"""Products."""

from tests.support.operators.cases import Source, cases
from tests.support.operators.check import Case

_PAIRS = (
    ((2, 3), (3, 4)), ((2, 3, 4), (4, 2)), ((2, 3, 4), (2, 4, 3)), ((2, 2, 3, 4), (2, 4, 3)), ((2, 2, 3, 4), (1, 4, 2)),
    ((2, 3, 4), (4,)), ((3,), (3, 4)), ((3,), (3,)), ((3, 4), (2, 4, 2)), ((1, 3, 4), (2, 4, 2)),
)  # fmt: skip


@cases("MatMul", count=14)
def matmul(source: Source) -> Case:
    left, right = source.one_of(*_PAIRS)
    return Case("MatMul", [source.normal(*left), source.normal(*right)], step=1.0, rows=left[0] == 2 and right[0] != 2)


@cases("Gemm", count=8)
def gemm(source: Source) -> Case:
    rows, inner, out = 2, 3, 4
    flip_a, flip_b = source.whole(0, 1), source.whole(0, 1)
    a = source.normal(*((inner, rows) if flip_a else (rows, inner)))
    b = source.normal(*((out, inner) if flip_b else (inner, out)))
    c = source.normal(*source.one_of((out,), (1, out), (rows, out), (1,), ()))
    given = {"transA": flip_a, "transB": flip_b, "alpha": source.one_of(1.0, 0.5), "beta": source.one_of(1.0, 2.0)}
    return Case("Gemm", [a, b, c][: source.whole(2, 3)], given, step=1.0, rows=not flip_a and c.shape[:1] != (rows,))
