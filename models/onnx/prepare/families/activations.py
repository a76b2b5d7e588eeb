"""Activations with a bend or an exponential. Masks are multiplied: onnxruntime's Where is the slower of the two."""

from collections.abc import Sequence

from models.onnx.prepare.registry import Context, derivative


@derivative("LeakyRelu")
def leaky_relu(context: Context) -> Sequence[str | None]:
    """The slope: alpha below 0, 1 above."""
    return [_times(context, _bent(context, context.number(context.attribute("alpha", 0.01))))]


@derivative("PRelu")
def prelu(context: Context) -> Sequence[str | None]:
    """`slope`, broadcast to x, below 0, 1 above; the slope trains."""
    emit, x, slope = context.emit, context.input(0), context.input(1)
    below = emit.mul(context.grad, _mask(context, "Less", x, 0.0))
    passed = emit.mul(context.grad, _mask(context, "GreaterOrEqual", x, 0.0))
    return [emit.add(passed, emit.mul(below, slope)), emit.unbroadcast(emit.mul(below, x), x, slope)]


@derivative("Elu")
def elu(context: Context) -> Sequence[str | None]:
    """Below 0, where y = alpha (e^x - 1): y + alpha."""
    alpha = context.number(context.attribute("alpha", 1.0))
    return [_times(context, _bent(context, context.emit.add(context.node.output[0], alpha)))]


@derivative("Selu")
def selu(context: Context) -> Sequence[str | None]:
    """Below 0, where y = gamma alpha (e^x - 1): y + gamma alpha; gamma above."""
    alpha = context.attribute("alpha", 1.67326319217681884765625)
    gamma = context.attribute("gamma", 1.05070102214813232421875)
    below = context.emit.add(context.node.output[0], context.number(alpha * gamma))
    return [_times(context, _bent(context, below, above=gamma))]


@derivative("Celu")
def celu(context: Context) -> Sequence[str | None]:
    """Below 0, where y = alpha (e^(x / alpha) - 1): y / alpha + 1."""
    scaled = context.emit.mul(context.node.output[0], context.number(1.0 / context.attribute("alpha", 1.0)))
    return [_times(context, _bent(context, context.emit.add(scaled, context.number(1.0))))]


@derivative("ThresholdedRelu")
def thresholded_relu(context: Context) -> Sequence[str | None]:
    """The slope: 1 above alpha, else 0."""
    return [_times(context, _mask(context, "Greater", context.input(0), context.attribute("alpha", 1.0)))]


@derivative("Shrink")
def shrink(context: Context) -> Sequence[str | None]:
    """1 beyond lambd on either side, else 0."""
    beyond = context.emit.op("Abs", context.input(0))
    return [_times(context, _mask(context, "Greater", beyond, context.attribute("lambd", 0.5)))]


@derivative("HardSigmoid")
def hard_sigmoid(context: Context) -> Sequence[str | None]:
    """Slope alpha where the line alpha x + beta is between 0 and 1."""
    y = context.node.output[0]
    between = context.emit.mul(_mask(context, "Greater", y, 0.0), _mask(context, "Less", y, 1.0))
    return [_times(context, context.emit.mul(between, context.number(context.attribute("alpha", 0.2))))]


@derivative("HardSwish")
def hard_swish(context: Context) -> Sequence[str | None]:
    """Slope x / 3 + 1 / 2 between -3 and 3, 1 above."""
    emit, x = context.emit, context.input(0)
    line = emit.add(emit.mul(x, context.number(1.0 / 3.0)), context.number(0.5))
    between = emit.mul(_mask(context, "Greater", x, -3.0), _mask(context, "Less", x, 3.0))
    return [_times(context, emit.add(emit.mul(between, line), _mask(context, "GreaterOrEqual", x, 3.0)))]


@derivative("Softplus")
def softplus(context: Context) -> Sequence[str | None]:
    """The slope of softplus, which is the sigmoid."""
    return [_times(context, context.emit.op("Sigmoid", context.input(0)))]


@derivative("Softsign")
def softsign(context: Context) -> Sequence[str | None]:
    """The slope 1 / (1 + |x|)^2."""
    emit = context.emit
    root = emit.op("Reciprocal", emit.add(emit.op("Abs", context.input(0)), context.number(1.0)))
    return [_times(context, emit.mul(root, root))]


@derivative("Mish")
def mish(context: Context) -> Sequence[str | None]:
    """With t = tanh(softplus(x)): t + x (1 - t^2) sigmoid(x)."""
    emit, x = context.emit, context.input(0)
    t = emit.op("Tanh", emit.op("Softplus", x))
    bend = emit.mul(emit.sub(context.number(1.0), emit.mul(t, t)), emit.op("Sigmoid", x))
    return [_times(context, emit.add(t, emit.mul(x, bend)))]


def _times(context: Context, slope: str) -> str:
    return context.emit.mul(context.grad, slope)


def _mask(context: Context, comparison: str, value: str, bound: float) -> str:
    """1.0 where `value` compares so with `bound`, else 0.0."""
    return context.emit.cast(context.emit.op(comparison, value, context.number(bound)), context.input(0))


def _bent(context: Context, below: str, above: float = 1.0) -> str:
    """`below` where x < 0, the number `above` elsewhere."""
    emit, x = context.emit, context.input(0)
    over = _mask(context, "GreaterOrEqual", x, 0.0)
    return emit.add(emit.mul(_mask(context, "Less", x, 0.0), below), over if above == 1.0 else emit.mul(over, context.number(above)))
