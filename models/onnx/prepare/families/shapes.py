"""Operators that move values: the gradient moves back."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from models.onnx.prepare.registry import Context, derivative

Grads = Sequence[str | None]


def _first(at: Context, gradient: str) -> Grads:
    return [gradient, *[None] * (len(at.node.input) - 1)]


@derivative("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshape(at: Context) -> Grads:
    return _first(at, at.emit.reshape_to(at.grad, at.input(0)))


@derivative("Transpose")
def _transpose(at: Context) -> Grads:
    rank = at.graph.rank(at.input(0))
    perm = at.attribute("perm") or list(range(rank))[::-1]
    return [at.emit.transpose(at.grad, [int(axis) for axis in np.argsort(perm)])]


@derivative("Expand")
def _expand(at: Context) -> Grads:
    return _first(at, at.emit.unbroadcast(at.grad, at.node.output[0], at.input(0)))


@derivative("Tile")
def _tile(at: Context) -> Grads:
    """Each axis as (repeats, size), then summed over the repeats."""
    emit, shape = at.emit, at.shape(0)
    repeats = at.need_constant(1, "repeats").tolist()
    split: list[int | str] = [part for size, times in zip(shape, repeats, strict=True) for part in (times, size)]
    varying = [i for i, size in enumerate(split) if isinstance(size, str)]
    if len(varying) > 1:
        raise at.refusal("several of its axes follow the number of rows")
    return _first(at, emit.reduce_sum(emit.reshape(at.grad, tuple(split)), range(0, len(split), 2), keepdims=False))


@derivative("Concat")
def _concat(at: Context) -> Grads:
    """Cut at the seams; the last part ends where the output does, so one size may vary if no other part follows it."""
    emit = at.emit
    axis = at.attribute("axis") % at.graph.rank(at.node.output[0])
    sizes = [at.shape(i)[axis] for i in range(len(at.node.input))]
    if any(isinstance(size, str) for size in sizes):
        seams = emit.op("Concat", *[emit.op("Shape", name, start=axis, end=axis + 1) for name in at.node.input], axis=0)
    else:
        seams = emit.integers([int(size) for size in sizes])
    if len(sizes) == 1:
        return [at.grad]
    return list(emit.op("Split", at.grad, seams, outputs=len(sizes), axis=axis))


@derivative("Split")
def _split(at: Context) -> Grads:
    """Joined again, zeros for parts that nothing arrives at."""
    parts = [gradient if gradient is not None else at.emit.zeros(at.output(i)) for i, gradient in enumerate(at.outputs_grads)]
    return _first(at, at.emit.op("Concat", *parts, axis=at.attribute("axis", 0)))


@derivative("Slice")
def _slice(at: Context) -> Grads:
    """Padded with zeros; steps other than 1 scatter."""
    shape = at.shape(0)
    starts, ends = (at.need_constant(i, what).tolist() for i, what in ((1, "starts"), (2, "ends")))
    axes = at.need_constant(3, "axes").tolist() if at.input(3) else list(range(len(starts)))
    steps = at.need_constant(4, "steps").tolist() if at.input(4) else [1] * len(starts)
    before, after = [0] * len(shape), [0] * len(shape)
    whole = at.out_shape()
    for start, end, given, step in zip(starts, ends, axes, steps, strict=True):
        axis = int(given) % len(shape)
        size = shape[axis]
        if isinstance(size, str):
            if step == 1 and whole[axis] == size:
                continue
            raise at.refusal("it cuts the batch axis")
        taken = range(size)[slice(start, end if step > 0 or end >= -size else None, step)]
        if step != 1:
            return _scattered_slice(at, starts, ends, axes, steps)
        before[axis] = taken.start
        after[axis] = size - taken.start - len(taken)
    if not any(before) and not any(after):
        return _first(at, at.grad)
    return _first(at, at.emit.op("Pad", at.grad, at.emit.integers([*before, *after])))


def _scattered_slice(at: Context, *settings: list[int]) -> Grads:
    """One axis after the other: zeros between what was taken. The sliced axes are of fixed size."""
    shape = at.shape(0)
    gradient = at.grad
    for start, end, given, step in zip(*settings, strict=True):
        axis = int(given) % len(shape)
        size = shape[axis]
        if isinstance(size, str):
            continue  # `_slice` has seen that it takes all rows
        taken = list(range(size)[slice(start, end if step > 0 or end >= -size else None, step)])
        # a row of zeros behind, picked for every place that was not taken
        places = [taken.index(i) if i in taken else len(taken) for i in range(size)]
        pads = [0] * 2 * len(shape)
        pads[len(shape) + axis] = 1
        gradient = at.emit.op("Gather", at.emit.op("Pad", gradient, at.emit.integers(pads)), at.emit.integers(places), axis=axis)
    return _first(at, gradient)


@derivative("Pad")
def _pad(at: Context) -> Grads:
    """Cut off again; what `edge`, `reflect` and `wrap` copied is added to where it came from."""
    shape = at.shape(0)
    if at.attribute("mode", "constant") != "constant":
        return _first(at, _folded_pad(at))
    pads = _pads(at)
    rank = len(shape)
    axes = [i for i in range(rank) if pads[i] or pads[rank + i]]
    if not axes:
        return _first(at, at.grad)
    if any(isinstance(shape[i], str) for i in axes):
        raise at.refusal("it pads the batch axis")
    starts = [max(pads[i], 0) for i in axes]
    ends = [-pads[rank + i] if pads[rank + i] > 0 else 2**31 - 1 for i in axes]
    cut = at.emit.op("Slice", at.grad, *(at.emit.integers(values) for values in (starts, ends, axes)))
    lost = [max(-size, 0) for size in pads]
    return _first(at, at.emit.op("Pad", cut, at.emit.integers(lost)) if any(lost) else cut)


def _pads(at: Context) -> list[int]:
    rank = at.graph.rank(at.input(0))
    given = [int(value) for value in at.need_constant(1, "pads")]
    if not at.input(3):
        return given
    axes = [int(axis) % rank for axis in at.need_constant(3, "axes")]
    pads = [0] * 2 * rank
    for number, axis in enumerate(axes):
        pads[axis], pads[rank + axis] = given[number], given[len(axes) + number]
    return pads


def _folded_pad(at: Context) -> str:
    """For edge, reflect and wrap: every place is added to the element that it copies, axis by axis."""
    pads, gradient, rank = _pads(at), at.grad, len(at.shape(0))
    mode: Literal["edge", "reflect", "wrap"] = at.attribute("mode")
    for axis, size in enumerate(at.shape(0)):
        before, after = pads[axis], pads[rank + axis]
        if not before and not after:
            continue
        if isinstance(size, str) or before < 0 or after < 0:
            raise at.refusal("it pads the batch axis, or by less than nothing")
        sources = np.pad(np.arange(size), (before, after), mode=mode)
        gradient = at.emit.added_up(gradient, at.input(0), sources, axis=axis, size=size)
    return gradient


@derivative("Gather")
def _gather(at: Context) -> Grads:
    """Rows are added up where they came from, into zeros that are made, not stored."""
    emit, rank = at.emit, at.graph.rank(at.input(0))
    axis = at.attribute("axis", 0) % rank
    picked = at.graph.rank(at.input(1))
    order = [*range(axis, axis + picked), *range(axis), *range(axis + picked, rank - 1 + picked)]
    rows = emit.transpose(at.grad, order)
    zeros = emit.zeros(at.input(0))
    first = [axis, *[i for i in range(rank) if i != axis]]
    index = emit.unsqueeze(emit.op("Cast", at.input(1), to=7), [-1])
    added = emit.op("ScatterND", emit.transpose(zeros, first), index, rows, reduction="add")
    return [emit.transpose(added, [int(i) for i in np.argsort(first)]), None]


@derivative("GatherElements")
def _gather_elements(at: Context) -> Grads:
    axis = at.attribute("axis", 0)
    return [at.emit.op("ScatterElements", at.emit.zeros(at.input(0)), at.input(1), at.grad, axis=axis, reduction="add"), None]


@derivative("GatherND")
def _gather_nd(at: Context) -> Grads:
    if at.attribute("batch_dims", 0):
        raise at.refusal("batch_dims other than 0")
    return [at.emit.op("ScatterND", at.emit.zeros(at.input(0)), at.input(1), at.grad, reduction="add"), None]


@derivative("ScatterND")
def _scatter_nd(at: Context) -> Grads:
    """Written places take the update's gradient, the others the data's; with `add`, both."""
    emit, reduction = at.emit, at.attribute("reduction", "none")
    if reduction not in {"none", "add"}:
        raise at.refusal(f"reduction {reduction!r}")
    data = at.grad
    if reduction == "none" and at.wants(0):
        data = emit.op("ScatterND", at.grad, at.input(1), emit.zeros(at.input(2)))
    return [data, None, emit.op("GatherND", at.grad, at.input(1)) if at.wants(2) else None]


@derivative("ScatterElements")
def _scatter_elements(at: Context) -> Grads:
    """As ScatterND, along one axis."""
    emit, reduction, axis = at.emit, at.attribute("reduction", "none"), at.attribute("axis", 0)
    if reduction not in {"none", "add"}:
        raise at.refusal(f"reduction {reduction!r}")
    data = at.grad
    if reduction == "none" and at.wants(0):
        data = emit.op("ScatterElements", at.grad, at.input(1), emit.zeros(at.input(2)), axis=axis)
    return [data, None, emit.op("GatherElements", at.grad, at.input(1), axis=axis) if at.wants(2) else None]


@derivative("DepthToSpace")
def _depth_to_space(at: Context) -> Grads:
    """The inverse: SpaceToDepth, or for the mode CRD, in which blocks stand behind channels, spelled out."""
    emit, block = at.emit, int(at.attribute("blocksize"))
    if at.attribute("mode", "DCR") == "DCR":
        return [emit.op("SpaceToDepth", at.grad, blocksize=block)]
    _, channels, height, width = at.shape(0)
    split = emit.reshape(at.grad, ("n", int(channels) // block**2, int(height), block, int(width), block))
    return [emit.reshape_to(emit.transpose(split, [0, 1, 3, 5, 2, 4]), at.input(0))]


@derivative("SpaceToDepth")
def _space_to_depth(at: Context) -> Grads:
    return [at.emit.op("DepthToSpace", at.grad, blocksize=at.attribute("blocksize"))]


@derivative("Trilu")
def _trilu(at: Context) -> Grads:
    return _first(at, at.emit.op("Trilu", at.grad, at.input(1), upper=at.attribute("upper", 1)))
