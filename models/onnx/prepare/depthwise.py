"""A narrow depthwise convolution as products of matrices over blocks of rows, its weights spread out at their taps."""

import math
from dataclasses import dataclass

import numpy as np

from models.onnx.prepare.graph import Array
from models.onnx.prepare.registry import Context
from models.onnx.prepare.windows import Windows

# Up to this many windows on the last axis, whole rows times whole rows cost less than a pass over memory per tap.
ROWS_WORTH_MULTIPLYING = 16
# Up to this many pairs of an element and a window, the whole plane is one block: no copies at all.
PAIRS_IN_ONE_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The rows of elements, `height` at a time, and for each block the rows of windows that see it: `seen` (count, rows)."""

    height: int
    first: int
    seen: Array


def suits(context: Context, laid: Windows) -> bool:
    """True if `by_rows` can and should be used: one channel in and out per group, two spatial axes, narrow."""
    out, channels = context.shape(1)[:2]
    depthwise = channels == 1 and out == context.attribute("group", 1) and laid.rank == 2
    return depthwise and max(laid.steps[1], laid.sizes[1]) <= ROWS_WORTH_MULTIPLYING


def is_one_block(laid: Windows) -> bool:
    """True if `forward` should be used where `suits` says that it can."""
    return math.prod(laid.sizes) * math.prod(laid.steps) <= PAIRS_IN_ONE_BLOCK


def forward(context: Context, laid: Windows) -> str:
    """The convolution itself, without its bias, of a plane that is one block."""
    emit, (channels, *_) = context.emit, context.shape(1)
    taps = _taps(laid, _blocks(laid))
    rows = emit.reshape(emit.transpose(context.input(0), [1, 0, 2, 3]), (channels, "n", taps.shape[1]))
    matrices = _matrices(context, taps, _hits(context, laid, taps))
    given = emit.matmul(rows, emit.transpose(matrices, [0, 2, 1]))
    return emit.transpose(emit.reshape(given, (channels, "n", *laid.steps)), [1, 0, 2, 3])


def by_rows(context: Context, laid: Windows) -> tuple[str, str]:
    """The gradients of x and of the weights."""
    emit, (channels, *_), (height, width) = context.emit, context.shape(1), laid.sizes
    blocks = _blocks(laid)
    taps = _taps(laid, blocks)
    hits = _hits(context, laid, taps)
    passed = emit.reshape(_passed(context, blocks), (channels, "n", taps.shape[0]))
    spread = emit.reshape(emit.matmul(passed, _matrices(context, taps, hits)), (channels, "n", len(blocks.seen) * blocks.height, width))
    missing = len(blocks.seen) * blocks.height - height
    elements = emit.transpose(context.input(0), [1, 0, 2, 3])
    if missing:
        spread = emit.op("Slice", spread, emit.integers([0]), emit.integers([height]), emit.integers([2]))
        elements = emit.op("Pad", elements, emit.integers([0] * 6 + [missing, 0]))
    rows = emit.reshape(elements, (channels, "n", taps.shape[1]))
    pairs = emit.reshape(emit.matmul(emit.transpose(passed, [0, 2, 1]), rows), (channels, taps.size))
    return emit.transpose(spread, [1, 0, 2, 3]), emit.reshape(emit.matmul(pairs, hits), context.shape(1))


def _blocks(laid: Windows) -> _Blocks:
    (height, _), (kernel, _), (stride, _), (dilation, _), (begin, _) = laid.sizes, laid.kernel, laid.strides, laid.dilations, laid.begin
    if is_one_block(laid):
        return _Blocks(height, 0, np.arange(laid.steps[0])[None, :])
    block = stride * -(-2 // stride)
    first, last = -((((kernel - 1) * dilation) - begin) // stride), (block - 1 + begin) // stride
    starts = np.arange(-(-height // block)) * (block // stride)
    rows = starts[:, None] + np.arange(first, last + 1)
    return _Blocks(block, first, np.where((rows >= 0) & (rows < laid.steps[0]), rows, laid.steps[0]))


def _passed(context: Context, blocks: _Blocks) -> str:
    """(channels, n, blocks, rows of windows, windows), one block without its axis: what each block of elements gets back."""
    emit = context.emit
    turned = emit.transpose(context.grad, [1, 0, 2, 3])
    if len(blocks.seen) == 1:
        return turned
    padded = emit.op("Pad", turned, emit.integers([0] * 6 + [1, 0]))  # the row that stands for none
    return emit.op("Gather", padded, emit.constant(blocks.seen), axis=2)


def _taps(laid: Windows, blocks: _Blocks) -> Array:
    """(rows of windows * windows, rows of elements * elements): which tap joins them; the number of taps where none does."""
    rows, columns = laid.kernel
    taps = np.full((blocks.seen.shape[1], laid.steps[1], blocks.height, laid.sizes[1]), rows * columns)
    for row, step, down, across in np.ndindex(len(taps), laid.steps[1], rows, columns):
        line = (blocks.first + row) * laid.strides[0] + down * laid.dilations[0] - laid.begin[0]
        element = laid.lookup(1, step, across)
        if 0 <= line < blocks.height and element is not None:
            taps[row, step, line, element] = down * columns + across
    return taps.reshape(taps.shape[0] * taps.shape[1], -1)


def _hits(context: Context, laid: Windows, taps: Array) -> str:
    """(pairs, taps): 1 where a pair meets at a tap."""
    hits = taps.reshape(-1, 1) == np.arange(math.prod(laid.kernel))
    return context.emit.cast(context.emit.constant(hits), context.input(1))


def _matrices(context: Context, taps: Array, hits: str) -> str:
    """(channels, *taps.shape): the weights at their taps, zeros elsewhere."""
    emit, (channels, *_) = context.emit, context.shape(1)
    flat = emit.reshape(context.input(1), (channels, -1))
    return emit.reshape(emit.matmul(flat, emit.transpose(hits, [1, 0])), (channels, *taps.shape))
