"""Matrix products."""

from collections.abc import Sequence

from models.onnx.prepare.graph import Shape
from models.onnx.prepare.registry import Context, derivative

Grads = Sequence[str | None]


@derivative("MatMul")
def _matmul(at: Context) -> Grads:
    """The gradients by a and b are dy b^T and a^T dy, summed over broadcast axes; vectors count as matrices with one row or column."""
    a, b = (at.graph.rank(name) for name in at.node.input)
    if b == 2 and a > 2:
        return _by_matrix(at)
    gradient = at.grad
    if b == 1:
        gradient = at.emit.unsqueeze(gradient, [-1])
    if a == 1:
        gradient = at.emit.unsqueeze(gradient, [-2])
    left = at.emit.unsqueeze(at.input(0), [0]) if a == 1 else at.input(0)
    right = at.emit.unsqueeze(at.input(1), [1]) if b == 1 else at.input(1)
    shapes = ((1, *at.shape(0)) if a == 1 else at.shape(0)), ((*at.shape(1), 1) if b == 1 else at.shape(1))
    found: list[str | None] = [None, None]
    if at.wants(0):
        found[0] = _summed(at, at.emit.matmul(gradient, _transposed(at, right, max(b, 2))), shapes, 0)
    if at.wants(1):
        found[1] = _summed(at, at.emit.matmul(_transposed(at, left, max(a, 2)), gradient), shapes, 1)
    return found


def _by_matrix(at: Context) -> Grads:
    """A stack of rows times one matrix, with the stack flattened: one product instead of a sum of many."""
    emit, (a, b) = at.emit, at.node.input
    rows, columns = (int(size) for size in at.shape(1))
    found: list[str | None] = [None, None]
    if at.wants(0):
        found[0] = emit.matmul(at.grad, emit.transpose(b, [1, 0]))
    if at.wants(1):
        left, right = (emit.op("Reshape", name, emit.integers([-1, size])) for name, size in ((a, rows), (at.grad, columns)))
        found[1] = emit.op("Gemm", left, right, transA=1)
    return found


def _transposed(at: Context, name: str, rank: int) -> str:
    return at.emit.transpose(name, [*range(rank - 2), rank - 1, rank - 2])


def _summed(at: Context, gradient: str, shapes: tuple[Shape, Shape], index: int) -> str:
    """Over the axes in which this input was stretched; then in the input's shape."""
    own, other = shapes[index][:-2], shapes[1 - index][:-2]
    lead = max(len(other) - len(own), 0)
    missing = len(own) - len(other)
    stretched = [i + lead for i, size in enumerate(own) if size == 1 and i >= missing and other[i - missing] != 1]
    gradient = at.emit.reduce_sum(gradient, [*range(lead), *stretched], keepdims=bool(stretched))
    if (stretched and lead) or at.graph.rank(at.input(index)) == 1:
        return at.emit.reshape_to(gradient, at.input(index))
    return gradient


@derivative("Gemm")
def _gemm(at: Context) -> Grads:
    """Y = alpha a' b' + beta c, a' and b' transposed where the attributes say so."""
    emit, (a, b) = at.emit, at.node.input[:2]
    alpha, beta = at.attribute("alpha", 1.0), at.attribute("beta", 1.0)
    across_a, across_b = at.attribute("transA", 0), at.attribute("transB", 0)
    found: list[str | None] = [None] * len(at.node.input)
    if at.wants(0):
        found[0] = (
            emit.op("Gemm", b, at.grad, alpha=alpha, transA=across_b, transB=1)
            if across_a
            else emit.op("Gemm", at.grad, b, alpha=alpha, transB=1 - across_b)
        )
    if at.wants(1):
        found[1] = (
            emit.op("Gemm", at.grad, a, alpha=alpha, transA=1, transB=across_a)
            if across_b
            else emit.op("Gemm", a, at.grad, alpha=alpha, transA=1 - across_a)
        )
    if at.wants(2):
        share = emit.unbroadcast(at.grad, at.node.output[0], at.input(2))
        found[2] = share if beta == 1 else emit.mul(share, at.number(beta))
    return found
