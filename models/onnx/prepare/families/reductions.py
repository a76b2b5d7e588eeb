"""Sums, means, extrema and norms over axes. The gradient goes back to every element that was read."""

from collections.abc import Sequence

from models.onnx.prepare.registry import Context, derivative

Grads = Sequence[str | None]


def _axes(at: Context) -> list[int]:
    """The axes, counted from 0; all where none are given, unless the node then does nothing."""
    rank = at.graph.rank(at.input(0))
    given = at.attribute("axes")
    if at.input(1):
        given = at.need_constant(1, "axes").reshape(-1).tolist()
    if not given:
        return [] if at.attribute("noop_with_empty_axes", 0) else list(range(rank))
    return sorted(int(axis) % rank for axis in given)


def _kept(at: Context, name: str, axes: Sequence[int]) -> str:
    """An output-shaped value with the reduced axes back in as size 1."""
    return name if at.attribute("keepdims", 1) else at.emit.unsqueeze(name, axes)


def _grads(at: Context, gradient: str) -> Grads:
    return [gradient, *[None] * (len(at.node.input) - 1)]


def _scale(at: Context, slope: str) -> Grads:
    """`slope` (as the input) times the upstream gradient."""
    return _grads(at, at.emit.mul(slope, _kept(at, at.grad, _axes(at))))


@derivative("ReduceSum")
def _sum(at: Context) -> Grads:
    return _grads(at, at.emit.expand_to(_kept(at, at.grad, _axes(at)), at.input(0)))


@derivative("ReduceMean")
def _mean(at: Context) -> Grads:
    """Shared by the elements: as many as go into one result."""
    emit, axes = at.emit, _axes(at)
    shape = at.shape(0)
    gradient, count = _kept(at, at.grad, axes), 1
    for axis in axes:
        size = shape[axis]
        if isinstance(size, str):
            rows = emit.op("Shape", at.input(0), start=axis, end=axis + 1)
            gradient = emit.div(gradient, emit.reshape(emit.cast(rows, at.input(0)), ()))
        else:
            count *= size
    return _grads(at, emit.expand_to(emit.mul(gradient, at.number(1 / count)), at.input(0)))


@derivative("ReduceMax", "ReduceMin")
def _extremum(at: Context) -> Grads:
    """To every element that is the result; shared equally where several are, as torch's amax does."""
    emit, axes, x = at.emit, _axes(at), at.input(0)
    hits = emit.cast(emit.op("Equal", x, _kept(at, at.node.output[0], axes)), x)
    share = emit.div(_kept(at, at.grad, axes), emit.reduce_sum(hits, axes, keepdims=True))
    return _grads(at, emit.mul(hits, share))


@derivative("ReduceSumSquare")
def _sum_square(at: Context) -> Grads:
    return _scale(at, at.emit.mul(at.input(0), at.number(2)))


@derivative("ReduceL1")
def _l1(at: Context) -> Grads:
    return _scale(at, at.emit.op("Sign", at.input(0)))


@derivative("ReduceL2")
def _l2(at: Context) -> Grads:
    """By x / |x|; zero where the norm is."""
    emit, axes, x = at.emit, _axes(at), at.input(0)
    norm = _kept(at, at.node.output[0], axes)
    safe = emit.add(norm, emit.cast(emit.op("Equal", norm, at.number(0)), x))
    return _scale(at, emit.div(x, safe))


@derivative("ReduceLogSumExp")
def _log_sum_exp(at: Context) -> Grads:
    """The slope, which is the softmax over the reduced axes."""
    return _scale(at, at.emit.op("Exp", at.emit.sub(at.input(0), _kept(at, at.node.output[0], _axes(at)))))


@derivative("ReduceLogSum")
def _log_sum(at: Context) -> Grads:
    emit = at.emit
    total = emit.op("Exp", _kept(at, at.node.output[0], _axes(at)))
    share = emit.div(_kept(at, at.grad, _axes(at)), total)
    return _grads(at, emit.expand_to(share, at.input(0)))


@derivative("ReduceProd")
def _product(at: Context) -> Grads:
    """The product of the others: y / x where no factor is zero, and for a single zero the product of the rest."""
    emit, axes, x = at.emit, _axes(at), at.input(0)
    zero = emit.op("Equal", x, at.number(0))
    count = emit.reduce_sum(emit.cast(zero, x), axes, keepdims=True)
    filled = emit.op("Where", zero, at.number(1), x)
    rest = emit.reduce("ReduceProd", filled, axes, keepdims=True)
    none, single = (emit.cast(emit.op("Equal", count, at.number(number)), x) for number in (0, 1))
    others = emit.add(emit.mul(none, emit.div(rest, filled)), emit.mul(emit.mul(single, rest), emit.cast(zero, x)))
    return _scale(at, others)


@derivative("TopK")
def _top_k(at: Context) -> Grads:
    """Back to where the values stood, as the second output says."""
    axis = at.attribute("axis", -1)
    return [at.emit.op("ScatterElements", at.emit.zeros(at.input(0)), at.output(1), at.grad, axis=axis), None]
