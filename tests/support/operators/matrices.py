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


_EQUATIONS = (
    ("bi,io->bo", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("bhqd,bhkd->bhqk", (2, 2, 3, 2), (2, 2, 4, 2)),
    ("...i,io->...o", (2, 3, 4), (4, 2)), ("bij,j->bi", (2, 3, 4), (4,)), ("bij->bj", (2, 3, 4)), ("i,j->ij", (2,), (3,)),
    ("...ij,...jk->...ik", (2, 1, 3, 2), (2, 4, 2, 3)), ("ab,bc,cd->ad", (2, 3), (3, 2), (2, 4)), ("bij->b", (2, 3, 2)),
)  # fmt: skip


@cases("Einsum", count=12)
def einsum(source: Source) -> Case:
    equation, *shapes = source.one_of(*_EQUATIONS)
    return Case("Einsum", [source.normal(*shape) for shape in shapes], {"equation": equation}, step=1.0, rows=False)


@cases("Einsum", count=1)
def diagonal(source: Source) -> Case:
    return Case("Einsum", [source.normal(3, 3)], {"equation": "ii->i"}, rows=False, refused="a letter stands twice")
