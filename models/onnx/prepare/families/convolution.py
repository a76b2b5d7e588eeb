"""Conv and ConvTranspose: each is the other's derivative by its input; their weights share one expression."""

from collections.abc import Sequence
from typing import Any

from models.onnx.prepare import depthwise
from models.onnx.prepare.convolution_weights import weight_gradient
from models.onnx.prepare.registry import Context, derivative
from models.onnx.prepare.windows import Windows, windows


@derivative("Conv")
def conv(context: Context) -> Sequence[str | None]:
    """Takes x (n, channels, *spatial), w (out, channels / group, *kernel), optional bias (out,)."""
    laid = windows(context, _kernel(context), context.shape(0), context.out_shape())
    if context.wants(0) and context.wants(1) and depthwise.suits(context, laid):
        return [*depthwise.by_rows(context, laid), *_bias(context, laid)]
    slope = _conv_input(context, laid) if context.wants(0) else None
    return [slope, _weights(context, laid, context.input(0), context.grad), *_bias(context, laid)]


def _conv_input(context: Context, laid: Windows) -> str:
    emit, grad, w = context.emit, context.grad, context.input(1)
    if laid.sizes == laid.steps and set(laid.kernel) == {1} and context.attribute("group", 1) == 1:
        return emit.op("Conv", grad, emit.transpose(w, [1, 0, *laid.axes]))  # the same for single elements, and quicker
    attributes = {**_attributes(context, laid), "output_padding": laid.unread}
    return emit.op("ConvTranspose", grad, w, outputs=1, **attributes)


@derivative("ConvTranspose")
def conv_transpose(context: Context) -> Sequence[str | None]:
    """Takes x (n, channels, *spatial), w (channels, out / group, *kernel), optional bias (out,)."""
    laid = _transposed_windows(context)
    x, w, grad = context.input(0), context.input(1), context.grad
    slope = context.emit.op("Conv", grad, w, **_attributes(context, laid)) if context.wants(0) else None
    return [slope, _weights(context, laid, grad, x), *_bias(context, laid)]


def _transposed_windows(context: Context) -> Windows:
    laid = windows(context, _kernel(context), context.out_shape(), context.shape(0))
    if context.attribute("output_shape") is None and context.attribute("auto_pad", "NOTSET") in {"NOTSET", "VALID"}:
        return laid
    # the paddings follow from the size of the output (onnx, ConvTranspose: total_padding), the odd one at the end if SAME_UPPER
    extra = context.attribute("output_padding", [0] * laid.rank)
    bare = Windows(laid.kernel, laid.strides, laid.dilations, (0,) * laid.rank, laid.sizes, laid.steps)
    odd = 0 if context.attribute("auto_pad", "NOTSET") == "SAME_UPPER" else 1
    begin = tuple((max(0, over + added) + odd) // 2 for over, added in zip(bare.overhang, extra, strict=True))
    return Windows(laid.kernel, laid.strides, laid.dilations, begin, laid.sizes, laid.steps)


def _weights(context: Context, laid: Windows, whole: str, windowed: str) -> str | None:
    return weight_gradient(context, laid, whole, windowed) if context.wants(1) else None


def _bias(context: Context, laid: Windows) -> list[str | None]:
    if not context.input(2):
        return [None] * (len(context.node.input) - 2)
    return [context.emit.reduce_sum(context.grad, [0, *laid.axes], keepdims=False) if context.wants(2) else None]


def _kernel(context: Context) -> list[int]:
    return [int(size) for size in context.shape(1)[2:]]


def _attributes(context: Context, laid: Windows) -> dict[str, Any]:
    return {
        "group": context.attribute("group", 1),
        "kernel_shape": list(laid.kernel),
        "strides": list(laid.strides),
        "dilations": list(laid.dilations),
        "pads": laid.pads,
    }
