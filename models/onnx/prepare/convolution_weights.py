"""The derivative of a convolution by its weights, three ways. Which is quickest in onnxruntime depends on the layer's shape."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from models.onnx.prepare.depthwise import ROWS_WORTH_MULTIPLYING
from models.onnx.prepare.emitter import Emitter
from models.onnx.prepare.graph import Array
from models.onnx.prepare.registry import Context
from models.onnx.prepare.windows import Windows


def weight_gradient(context: Context, laid: Windows, whole: str, windowed: str) -> str:
    """Sum over rows and windows of `windowed` times what its window sees of `whole`; shaped as the weights, input 1.

    `whole` (n, group * channels, *sizes) is what the windows lie over, `windowed` (n, out, *steps) has an element per window;
    the weights are (out, channels, *kernel).
    """
    out, channels = (int(size) for size in context.shape(1)[:2])
    group = int(context.attribute("group", 1))
    if channels > 1 or group == 1:
        return _by_columns(context.emit, laid, whole, windowed, (group, out // group, channels))
    if laid.rank == 2 and laid.steps[1] <= ROWS_WORTH_MULTIPLYING:
        return _by_rows(context, laid, whole, windowed, (group, out // group))
    return _by_taps(context.emit, laid, whole, windowed, (group, out // group))


def _by_columns(emit: Emitter, laid: Windows, whole: str, windowed: str, sizes: tuple[int, int, int]) -> str:
    """Any groups: what each tap sees becomes a block of columns, then one product per row and group."""
    group, out, channels = sizes
    steps = math.prod(laid.steps)
    seen = [emit.reshape(view, ("n", group, channels, steps)) for view in views(emit, laid, whole)]
    columns = emit.op("Concat", *seen, axis=2) if len(seen) > 1 else seen[0]
    products = emit.matmul(emit.reshape(windowed, ("n", group, out, steps)), emit.transpose(columns, [0, 1, 3, 2]))
    summed = emit.reduce_sum(products, [0], keepdims=False)
    split = emit.reshape(summed, (group * out, *laid.kernel, channels))
    return emit.transpose(split, [0, laid.rank + 1, *range(1, laid.rank + 1)])


def _by_taps(emit: Emitter, laid: Windows, whole: str, windowed: str, sizes: tuple[int, int]) -> str:
    """One channel per group: a product and a sum for each tap."""
    group, out = sizes
    steps = math.prod(laid.steps)
    windowed = emit.reshape(windowed, ("n", group, out, steps))
    seen = [emit.reshape(view, ("n", group, 1, steps)) for view in views(emit, laid, whole)]
    sums = [emit.reduce_sum(emit.mul(view, windowed), [0, 3], keepdims=False) for view in seen]
    stacked = [emit.unsqueeze(one, [2]) for one in sums]
    joined = emit.op("Concat", *stacked, axis=2) if len(stacked) > 1 else stacked[0]
    return emit.reshape(joined, (group * out, 1, *laid.kernel))


def _by_rows(context: Context, laid: Windows, whole: str, windowed: str, sizes: tuple[int, int]) -> str:
    """One channel per group, two spatial axes: all pairs of an element and a window in matching rows, then sums along taps."""
    emit, (group, out) = context.emit, sizes
    rows, width = laid.kernel[0] * laid.sizes[1], laid.steps[1]
    padded = _padded(emit, laid, emit.transpose(whole, [1, 0, 2, 3]), [2])
    lines = [_strided(emit, laid, padded, (tap,), [2]) for tap in range(laid.kernel[0])]
    elements = emit.op("Concat", *lines, axis=3) if len(lines) > 1 else lines[0]
    split = emit.reshape(windowed, ("n", group, out, *laid.steps))
    answers = emit.reshape(emit.transpose(split, [1, 0, 3, 2, 4]), (group, "n", out * width))
    pairs = emit.matmul(emit.transpose(emit.reshape(elements, (group, "n", rows)), [0, 2, 1]), answers)
    by_answer = emit.transpose(emit.reshape(pairs, (group, rows, out, width)), [0, 2, 1, 3])
    hits = emit.constant(_row_hits(laid).astype(context.graph.dtype(context.input(1))))
    taps = emit.matmul(emit.reshape(by_answer, (group * out, rows * width)), hits)
    return emit.reshape(taps, (group * out, 1, *laid.kernel))


def _row_hits(laid: Windows) -> Array:
    """1 where (kernel row, element) and window meet at a tap: (kernel rows * elements * windows, taps)."""
    rows, columns = laid.kernel
    hits = np.zeros((rows, laid.sizes[1], laid.steps[1], rows, columns))
    for step in range(laid.steps[1]):
        for tap in range(columns):
            element = laid.lookup(1, step, tap)
            if element is not None:
                hits[range(rows), element, step, range(rows), tap] = 1.0
    return hits.reshape(-1, rows * columns)


def views(emit: Emitter, laid: Windows, whole: str) -> Iterator[str]:
    """For each tap, the elements that it sees: (n, channels, *steps)."""
    padded = _padded(emit, laid, whole, laid.axes)
    return (_strided(emit, laid, padded, tap, laid.axes) for tap in laid.taps())


def _padded(emit: Emitter, laid: Windows, whole: str, axes: Sequence[int]) -> str:
    """`whole` with zeros where the windows reach outside of it, on these axes (2 is the first spatial one)."""
    pads = [0] * (2 * (laid.rank + 2))
    for axis in axes:
        pads[axis] = laid.begin[axis - 2]
        pads[axis + laid.rank + 2] = max(0, laid.overhang[axis - 2])
    return emit.op("Pad", whole, emit.integers(pads)) if any(pads) else whole


def _strided(emit: Emitter, laid: Windows, padded: str, tap: Sequence[int], axes: Sequence[int]) -> str:
    """The slice that one tap sees on these axes."""
    strides = [laid.strides[axis - 2] for axis in axes]
    starts = [laid.dilations[axis - 2] * one for axis, one in zip(axes, tap, strict=True)]
    ends = [start + stride * (laid.steps[axis - 2] - 1) + 1 for start, stride, axis in zip(starts, strides, axes, strict=True)]
    if all(laid.kernel[axis - 2] == 1 and laid.steps[axis - 2] == laid.sizes[axis - 2] for axis in axes) and not any(starts):
        return padded
    return emit.op("Slice", padded, *(emit.integers(values) for values in (starts, ends, axes, strides)))
