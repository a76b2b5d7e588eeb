"""Pooling. The largest of a window passes its gradient to one element, also where several are equal."""

import math
from collections.abc import Sequence

import numpy as np

from models.onnx.prepare.graph import Array
from models.onnx.prepare.registry import Context, derivative
from models.onnx.prepare.windows import Windows, windows


@derivative("MaxPool")
def max_pool(context: Context) -> Sequence[str | None]:
    """Takes x (n, channels, *spatial); the operator's own `Indices` say which element was the largest."""
    laid = windows(context, context.attribute("kernel_shape"), context.shape(0), context.out_shape())
    if context.attribute("storage_order", 0):
        raise context.refusal("storage_order 1 (column major) is not supported")
    emit, x, indices = context.emit, context.input(0), context.output(1)
    flat = [emit.op("Reshape", name, emit.integers([-1])) for name in (emit.zeros(x), indices, context.grad)]
    if laid.overlapping:
        scattered = emit.op("ScatterElements", *flat, axis=0, reduction="add")
    else:  # no element is met twice, and a plain scatter is the quicker one
        scattered = emit.op("ScatterElements", *flat, axis=0)
    return [emit.reshape_to(scattered, x)]


@derivative("AveragePool")
def average_pool(context: Context) -> Sequence[str | None]:
    """Takes x (n, channels, *spatial). Each window spreads its gradient evenly over the elements it averaged."""
    laid = windows(context, context.attribute("kernel_shape"), context.shape(0), context.out_shape())
    emit = context.emit
    dtype = context.graph.dtype(context.input(0))
    shares = emit.mul(context.grad, emit.constant((1.0 / counts(context, laid)).astype(dtype)))
    ones = emit.constant(np.ones((1, 1, *laid.kernel), dtype))
    single = emit.reshape(shares, ("n", 1, *laid.steps))
    attributes = {"strides": list(laid.strides), "pads": laid.pads, "output_padding": laid.unread}
    spread = emit.op("ConvTranspose", single, ones, outputs=1, **attributes)
    return [emit.reshape_to(spread, context.input(0))]


@derivative("GlobalAveragePool")
def global_average_pool(context: Context) -> Sequence[str | None]:
    """Takes x (n, channels, *spatial) -> (n, channels, 1, ...)."""
    spatial = [size for size in context.shape(0)[2:] if isinstance(size, int)]
    if len(spatial) != len(context.shape(0)) - 2:
        raise context.refusal("its spatial sizes are not fixed", "export the model with fixed spatial sizes")
    share = context.emit.mul(context.grad, context.number(1.0 / math.prod(spatial)))
    return [context.emit.expand_to(share, context.input(0))]


@derivative("GlobalMaxPool")
def global_max_pool(context: Context) -> Sequence[str | None]:
    """Takes x (n, channels, *spatial) -> (n, channels, 1, ...)."""
    emit, x = context.emit, context.input(0)
    rows = [emit.op("Reshape", name, emit.integers([0, 0, -1])) for name in (x, emit.zeros(x), context.grad)]
    largest = emit.op("ArgMax", rows[0], axis=2, keepdims=1)
    return [emit.reshape_to(emit.op("ScatterElements", rows[1], largest, rows[2], axis=2), x)]


def counts(context: Context, laid: Windows) -> Array:
    """The number of elements that each window averaged: (1, 1, *steps)."""
    if context.attribute("count_include_pad", 0):
        if context.attribute("ceil_mode", 0):
            raise context.refusal("ceil_mode together with count_include_pad is not supported")
        return np.full((1, 1, *laid.steps), float(math.prod(laid.kernel)))
    counts = np.ones((1, 1))
    for axis, steps in enumerate(laid.steps):
        inside = [sum(laid.lookup(axis, step, tap) is not None for tap in range(laid.kernel[axis])) for step in range(steps)]
        counts = counts[..., None] * np.array(inside, dtype=np.float64)
    return counts
