"""Both derivatives of a narrow depthwise convolution at once: they share what each row of windows passes to each row of elements."""

import numpy as np

from models.onnx.build.emitter import Emitter
from models.onnx.build.graph import Array
from models.onnx.build.registry import Context
from models.onnx.build.windows import Windows

# Up to this many windows on the last axis, whole rows times whole rows cost less than a pass over memory per tap.
ROWS_WORTH_MULTIPLYING = 16


def suits(context: Context, laid: Windows) -> bool:
    """Whether `by_rows` can and should be used: one channel in and out per group, two spatial axes, narrow."""
    out, channels = context.shape(1)[:2]
    depthwise = channels == 1 and out == context.attribute("group", 1) and laid.rank == 2
    return depthwise and max(laid.steps[1], laid.sizes[1]) <= ROWS_WORTH_MULTIPLYING


def by_rows(context: Context, laid: Windows) -> tuple[str, str]:
    """The gradients of x and of the weights."""
    emit, (channels, *_) = context.emit, context.shape(1)
    x, w = context.input(0), context.input(1)
    height, width = laid.sizes
    passed = emit.reshape(_passed(emit, laid, context.grad), (channels, "n", laid.kernel[0] * laid.steps[1]))
    taps = _taps(laid)
    spread = emit.matmul(passed, _matrices(emit, w, taps, int(channels)))
    slope = emit.transpose(emit.reshape(spread, (channels, "n", height, width)), [1, 0, 2, 3])
    rows = emit.transpose(emit.reshape(emit.transpose(x, [1, 0, 2, 3]), (channels, "n", width)), [0, 2, 1])
    pairs = emit.reshape(emit.matmul(rows, passed), (channels, taps.size))
    hits = (taps.T.reshape(-1, 1) == np.arange(np.prod(laid.kernel))).astype(context.graph.dtype(w))
    return slope, emit.reshape(emit.matmul(pairs, emit.constant(hits)), context.shape(1))


def _passed(emit: Emitter, laid: Windows, grad: str) -> str:
    """(channels, n, height, kernel rows * windows): for a row of elements the rows of windows that see it, one per kernel row."""
    (height, _), (kernel, _), (dilation, _), (begin, _) = laid.sizes, laid.kernel, laid.dilations, laid.begin
    before = max(0, (kernel - 1) * dilation - begin)
    after = max(0, height + begin - laid.steps[0] * laid.strides[0])
    padded = emit.op("Pad", _at_strides(emit, laid, grad), emit.integers([0, 0, before, 0, 0, 0, after, 0]))
    starts = [before + begin - tap * dilation for tap in range(kernel)]
    axis = emit.integers([2])
    seen = [emit.op("Slice", padded, emit.integers([start]), emit.integers([start + height]), axis) for start in starts]
    return emit.op("Concat", *seen, axis=3) if len(seen) > 1 else seen[0]


def _at_strides(emit: Emitter, laid: Windows, grad: str) -> str:
    """(channels, n, stride * rows of windows, windows): rows of zeros between the rows of windows."""
    turned, (stride, _), (steps, width) = emit.transpose(grad, [1, 0, 2, 3]), laid.strides, laid.steps
    if stride == 1:
        return turned
    apart = emit.op("Pad", emit.unsqueeze(turned, [3]), emit.integers([0] * 8 + [stride - 1, 0]))
    return emit.op("Reshape", apart, emit.integers([0, -1, stride * steps, width]))


def _taps(laid: Windows) -> Array:
    """(kernel rows * windows, elements): which tap of the kernel joins them; the number of taps where none does."""
    rows, columns = laid.kernel
    taps = np.full((rows, laid.steps[1], laid.sizes[1]), rows * columns)
    for step in range(laid.steps[1]):
        for tap in range(columns):
            element = laid.lookup(1, step, tap)
            if element is not None:
                taps[:, step, element] = np.arange(rows) * columns + tap
    return taps.reshape(rows * laid.steps[1], laid.sizes[1])


def _matrices(emit: Emitter, w: str, taps: Array, channels: int) -> str:
    """(channels, *taps.shape): the weights at their taps, zeros elsewhere."""
    flat = emit.op("Pad", emit.reshape(w, (channels, -1)), emit.integers([0, 0, 0, 1]))
    return emit.op("Gather", flat, emit.constant(taps), axis=1)
