"""Normalisations: batch (with the statistics kept), layer, instance and group."""

from collections.abc import Sequence

from models.onnx.prepare.graph import Shape
from models.onnx.prepare.registry import Context, derivative


@derivative("BatchNormalization")
def batch_normalization(context: Context) -> Sequence[str | None]:
    """Takes x (n, channels, ...), scale, bias, mean, variance (channels,). The statistics stay."""
    if context.attribute("training_mode", 0):
        raise context.refusal("it takes statistics of the batch", "export the model in inference mode")
    if context.wants(3) or context.wants(4):
        raise context.refusal("its statistics are to be trained", "freeze them: they keep the values of the file")
    emit, grad, rank = context.emit, context.grad, len(context.shape(0))
    x, scale, _, mean, variance = (context.input(index) for index in range(5))
    epsilon = emit.number(context.attribute("epsilon", 1e-5), variance)
    inverse = emit.op("Reciprocal", emit.op("Sqrt", emit.add(variance, epsilon)))
    over = [0, *range(2, rank)]
    bias_slope = emit.reduce_sum(grad, over, keepdims=False)
    slope = emit.mul(grad, _channelwise(context, emit.mul(scale, inverse))) if context.wants(0) else None
    if not context.wants(1):
        return [slope, None, bias_slope, None, None]
    centred = emit.mul(emit.sub(x, _channelwise(context, mean)), grad)
    return [slope, emit.mul(emit.reduce_sum(centred, over, keepdims=False), inverse), bias_slope, None, None]


@derivative("LayerNormalization")
def layer_normalization(context: Context) -> Sequence[str | None]:
    """x, scale, optional bias; normalised over the axes from `axis` on."""
    emit, x, scale, grad = context.emit, context.input(0), context.input(1), context.grad
    rank = len(context.shape(0))
    axes = list(range(context.attribute("axis", -1) % rank, rank))
    normalised, inverse = _normalised(context, x, axes)
    slope = _through(context, emit.mul(grad, scale), normalised, inverse, axes) if context.wants(0) else None
    scale_slope = emit.unbroadcast(emit.mul(grad, normalised), x, scale)
    return [slope, scale_slope, *(emit.unbroadcast(grad, x, bias) for bias in context.node.input[2:])]


@derivative("InstanceNormalization")
def instance_normalization(context: Context) -> Sequence[str | None]:
    """Takes x (n, channels, *spatial), scale and bias (channels,); normalised over the spatial axes."""
    emit, x, grad = context.emit, context.input(0), context.grad
    axes = list(range(2, len(context.shape(0))))
    normalised, inverse = _normalised(context, x, axes)
    scaled = emit.mul(grad, _channelwise(context, context.input(1)))
    slope = _through(context, scaled, normalised, inverse, axes) if context.wants(0) else None
    scale_slope = emit.reduce_sum(emit.mul(grad, normalised), [0, *axes], keepdims=False)
    return [slope, scale_slope, emit.reduce_sum(grad, [0, *axes], keepdims=False)]


@derivative("GroupNormalization")
def group_normalization(context: Context) -> Sequence[str | None]:
    """Takes x (n, channels, *spatial), scale and bias (groups,), as opset 18 has them."""
    emit, x = context.emit, context.input(0)
    groups = int(context.attribute("num_groups"))
    grouped = _grouped(context, groups)
    axes = list(range(2, len(grouped)))
    grad = emit.reshape(context.grad, grouped)
    normalised, inverse = _normalised(context, emit.reshape(x, grouped), axes)
    scaled = emit.mul(grad, emit.reshape(context.input(1), (groups, *[1] * len(axes))))
    slope = emit.reshape_to(_through(context, scaled, normalised, inverse, axes), x) if context.wants(0) else None
    return [slope, *(emit.reduce_sum(one, [0, *axes], keepdims=False) for one in (emit.mul(grad, normalised), grad))]


def _grouped(context: Context, groups: int) -> Shape:
    _, channels, *spatial = context.shape(0)
    return ("n", groups, int(channels) // groups, *spatial)


@derivative("LpNormalization")
def lp_normalization(context: Context) -> Sequence[str | None]:
    """Gives x / norm(x) along one axis; the norm is the sum of absolute values (p = 1) or the Euclidean one (p = 2)."""
    emit, x, y = context.emit, context.input(0), context.node.output[0]
    axis, power = context.attribute("axis", -1) % len(context.shape(0)), context.attribute("p", 2)
    norm = emit.reduce("ReduceL1" if power == 1 else "ReduceL2", x, [axis], keepdims=True)
    along = emit.reduce_sum(emit.mul(context.grad, y), [axis], keepdims=True)
    direction = emit.op("Sign", x) if power == 1 else y
    return [emit.div(emit.sub(context.grad, emit.mul(direction, along)), norm)]


@derivative("LRN")
def lrn(context: Context) -> Sequence[str | None]:
    """Gives x / s^beta, with s = bias + alpha / size times the sum of squares in a window of channels."""
    emit, x, grad = context.emit, context.input(0), context.grad
    size, alpha, beta = context.attribute("size"), context.attribute("alpha", 1e-4), context.attribute("beta", 0.75)
    before = (size - 1) // 2
    share = emit.mul(_neighbours(context, emit.mul(x, x), before, size - 1 - before), context.number(alpha / size))
    scale = emit.add(share, context.number(context.attribute("bias", 1.0)))
    power = emit.op("Pow", scale, context.number(-beta))
    pulled = emit.div(emit.mul(emit.mul(grad, x), power), scale)
    spread = _neighbours(context, pulled, size - 1 - before, before)
    return [emit.sub(emit.mul(grad, power), emit.mul(emit.mul(x, spread), context.number(2 * alpha * beta / size)))]


def _neighbours(context: Context, value: str, before: int, after: int) -> str:
    """The sum over each channel, as many before it and as many after it."""
    emit, (_, channels, *spatial) = context.emit, context.shape(0)
    rest = [0] * len(spatial)
    padded = emit.op("Pad", value, emit.integers([0, before, *rest, 0, after, *rest]))
    cuts = [(begin, begin + int(channels)) for begin in range(before + after + 1)]
    parts = [emit.op("Slice", padded, *(emit.integers([one]) for one in (begin, end, 1))) for begin, end in cuts]
    return emit.op("Sum", *parts) if len(parts) > 1 else parts[0]


def _normalised(context: Context, x: str, axes: Sequence[int]) -> tuple[str, str]:
    """Gives x with mean 0 and variance 1 over `axes`, and the reciprocal of its deviation there."""
    emit = context.emit
    centred = emit.sub(x, emit.reduce("ReduceMean", x, axes, keepdims=True))
    variance = emit.reduce("ReduceMean", emit.mul(centred, centred), axes, keepdims=True)
    inverse = emit.op("Reciprocal", emit.op("Sqrt", emit.add(variance, context.number(context.attribute("epsilon", 1e-5)))))
    return emit.mul(centred, inverse), inverse


def _through(context: Context, grad: str, normalised: str, inverse: str, axes: Sequence[int]) -> str:
    """The gradient by x of something with gradient `grad` by normalised x: what shifts or stretches x does not count."""
    emit = context.emit
    shift = emit.reduce("ReduceMean", grad, axes, keepdims=True)
    stretch = emit.reduce("ReduceMean", emit.mul(grad, normalised), axes, keepdims=True)
    return emit.mul(inverse, emit.sub(emit.sub(grad, shift), emit.mul(normalised, stretch)))


def _channelwise(context: Context, vector: str) -> str:
    """A vector (channels,) laid along axis 1 of x."""
    spatial = len(context.shape(0)) - 2
    return context.emit.reshape(vector, (int(context.shape(0)[1]), *[1] * spatial)) if spatial else vector
