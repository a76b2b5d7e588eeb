"""Element by element, with broadcasting: sums, products, powers, choices."""

from collections.abc import Sequence

from models.onnx.prepare.registry import Context, derivative

Grads = Sequence[str | None]


def _back(at: Context, gradient: str, index: int) -> str:
    """`gradient`, shaped as the output, summed to the shape of input `index`."""
    return at.emit.unbroadcast(gradient, at.node.output[0], at.input(index))


@derivative("Add", "Sum")
def _add(at: Context) -> Grads:
    return [_back(at, at.grad, i) if at.wants(i) else None for i in range(len(at.node.input))]


@derivative("Mean")
def _mean(at: Context) -> Grads:
    share = at.emit.mul(at.grad, at.number(1 / len(at.node.input)))
    return [_back(at, share, i) if at.wants(i) else None for i in range(len(at.node.input))]


@derivative("Sub")
def _sub(at: Context) -> Grads:
    return [
        _back(at, at.grad, 0) if at.wants(0) else None,
        at.emit.neg(_back(at, at.grad, 1)) if at.wants(1) else None,
    ]


@derivative("Mul")
def _mul(at: Context) -> Grads:
    return [_back(at, at.emit.mul(at.grad, at.input(1 - i)), i) if at.wants(i) else None for i in (0, 1)]


@derivative("Div")
def _div(at: Context) -> Grads:
    """The slope in the divisor is -y / b, in the dividend 1 / b."""
    share = at.emit.div(at.grad, at.input(1))
    return [
        _back(at, share, 0) if at.wants(0) else None,
        _back(at, at.emit.neg(at.emit.mul(share, at.node.output[0])), 1) if at.wants(1) else None,
    ]


@derivative("Pow")
def _pow(at: Context) -> Grads:
    """The base's: p x^(p - 1), without a power for p = 2. The exponent's: y ln x, for a positive base."""
    emit, (base, exponent) = at.emit, at.node.input
    power = at.constant(1)
    found: list[str | None] = [None, None]
    if at.wants(0):
        if power is not None and power.size == 1 and float(power.flat[0]) == 2:
            slope = emit.mul(base, at.number(2))
        else:
            exponent = emit.cast(exponent, at.node.output[0])
            slope = emit.mul(exponent, emit.op("Pow", base, emit.sub(exponent, at.number(1))))
        found[0] = _back(at, emit.mul(at.grad, slope), 0)
    if at.wants(1):
        found[1] = _back(at, emit.mul(at.grad, emit.mul(at.node.output[0], emit.op("Log", base))), 1)
    return found


@derivative("Max", "Min")
def _extremum(at: Context) -> Grads:
    """To every input that is the result; shared equally where several are."""
    emit, y = at.emit, at.node.output[0]
    hits = [emit.cast(emit.op("Equal", name, y), y) for name in at.node.input]
    share = emit.div(at.grad, emit.op("Sum", *hits))
    return [_back(at, emit.mul(share, hit), i) if at.wants(i) else None for i, hit in enumerate(hits)]


@derivative("Where")
def _where(at: Context) -> Grads:
    zero = at.number(0)
    return [
        None,
        _back(at, at.emit.op("Where", at.input(0), at.grad, zero), 1) if at.wants(1) else None,
        _back(at, at.emit.op("Where", at.input(0), zero, at.grad), 2) if at.wants(2) else None,
    ]


@derivative("Clip")
def _clip(at: Context) -> Grads:
    """One inside the bounds and on them, as torch has it. Bounds are settings."""
    emit, x = at.emit, at.input(0)
    gradient = at.grad
    for index, comparison in ((1, "GreaterOrEqual"), (2, "LessOrEqual")):
        if at.input(index):
            gradient = emit.mul(gradient, emit.cast(emit.op(comparison, x, at.input(index)), x))
    if at.wants(1) or at.wants(2):
        raise at.refusal("its bounds depend on a parameter")
    return [gradient, *[None] * (len(at.node.input) - 1)]


@derivative("Mod")
def _mod(at: Context) -> Grads:
    """For a - b floor(a / b): one for `a`, almost everywhere."""
    if at.wants(1):
        raise at.refusal("its divisor depends on a parameter")
    return [_back(at, at.grad, 0), None]


@derivative("Cast", "CastLike")
def _cast(at: Context) -> Grads:
    if not at.graph.is_float(at.node.output[0]):
        return [None] * len(at.node.input)
    return [at.emit.cast(at.grad, at.input(0)), *[None] * (len(at.node.input) - 1)]


@derivative("Identity")
def _identity(at: Context) -> Grads:
    return [at.grad]


@derivative("CumSum")
def _cumsum(at: Context) -> Grads:
    """The running sum from the other end."""
    reverse, exclusive = at.attribute("reverse", 0), at.attribute("exclusive", 0)
    at.need_constant(1, "axis")
    return [at.emit.op("CumSum", at.grad, at.input(1), reverse=1 - reverse, exclusive=exclusive), None]


@derivative("Softmax")
def _softmax(at: Context) -> Grads:
    """Of one axis: y (dy - sum(y dy))."""
    emit, y, axis = at.emit, at.node.output[0], at.attribute("axis", -1)
    weighted = emit.mul(at.grad, y)
    return [emit.sub(weighted, emit.mul(y, emit.reduce_sum(weighted, [axis], keepdims=True)))]


@derivative("LogSoftmax")
def _log_softmax(at: Context) -> Grads:
    """Of one axis: dy - softmax sum(dy)."""
    emit, axis = at.emit, at.attribute("axis", -1)
    total = emit.reduce_sum(at.grad, [axis], keepdims=True)
    return [emit.sub(at.grad, emit.mul(emit.op("Exp", at.node.output[0]), total))]
