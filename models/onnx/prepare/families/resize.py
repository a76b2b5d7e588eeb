"""Resize is linear and works axis by axis: its derivative multiplies by the transposed matrix of each axis."""

from collections.abc import Iterator, Sequence

import numpy as np
from onnx import ModelProto, helper

from models.onnx.prepare.graph import Array
from models.onnx.prepare.model import declare, session, write
from models.onnx.prepare.registry import Context, derivative

SMALL = 1 << 16  # pairs of an element and a resized one, up to which a product with a matrix is quicker
_CARRIED = ("coordinate_transformation_mode", "mode", "nearest_mode", "antialias", "cubic_coeff_a", "exclude_outside")


@derivative("Resize")
def resize(context: Context) -> Sequence[str | None]:
    """x, region, scales or sizes (all constant); nearest, linear or cubic."""
    if context.attribute("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        raise context.refusal("coordinate_transformation_mode tf_crop_and_resize is not supported")
    if context.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise context.refusal("keep_aspect_ratio_policy other than stretch is not supported")
    grad, dtype = context.grad, context.graph.dtype(context.input(0))
    if context.shape(0) == context.out_shape():  # then onnxruntime copies, whatever the scales
        return [grad, *[None] * (len(context.node.input) - 1)]
    for axis in range(len(context.shape(0))):
        if not _untouched(context, axis):
            sizes = _sizes(context, axis)
            if sizes[0] * sizes[1] <= SMALL:
                grad = _along(context, grad, axis, _matrix(context, axis, sizes).astype(dtype))
            else:
                grad = _by_taps(context, grad, axis, sizes)
    return [grad, *[None] * (len(context.node.input) - 1)]


def _untouched(context: Context, axis: int) -> bool:
    scale = _scale(context, axis)  # may move elements also where the size stays
    return context.shape(0)[axis] == context.out_shape()[axis] and scale in {None, 1.0}


def _along(context: Context, grad: str, axis: int, matrix: Array) -> str:
    """Multiply one axis by `matrix` (size, resized)."""
    emit, rank = context.emit, len(context.shape(0))
    if axis == rank - 2:
        return emit.matmul(emit.constant(matrix), grad)
    order = [one for one in range(rank) if one != axis] + [axis]
    product = emit.matmul(emit.transpose(grad, order), emit.constant(np.ascontiguousarray(matrix.T)))
    return emit.transpose(product, [order.index(one) for one in range(rank)])


def _sizes(context: Context, axis: int) -> tuple[int, int]:
    size, resized = context.shape(0)[axis], context.out_shape()[axis]
    if not isinstance(size, int) or not isinstance(resized, int):
        raise context.refusal(f"the size of its axis {axis} is not fixed", "export the model with fixed spatial sizes")
    return size, resized


def _matrix(context: Context, axis: int, sizes: tuple[int, int]) -> Array:
    """(size, resized): what each element gives to each resized one, found by resizing unit vectors with onnxruntime."""
    unit = np.eye(sizes[0], dtype=np.float32)
    return _resized(context, axis, sizes, unit)


def _by_taps(context: Context, grad: str, axis: int, sizes: tuple[int, int]) -> str:
    """Each resized element passes its gradient to the few that it was made of, one after the other."""
    emit, rank, dtype = context.emit, len(context.shape(0)), context.graph.dtype(context.input(0))
    parts = []
    for places, weights in _taps(context, axis, sizes):
        shape = [1] * rank
        shape[axis] = sizes[1]
        shares = emit.mul(grad, emit.constant(weights.reshape(shape).astype(dtype)))
        parts.append(emit.added_up(shares, context.input(0), places, axis=axis, size=sizes[0]))
    return emit.op("Sum", *parts) if len(parts) > 1 else parts[0]


def _taps(context: Context, axis: int, sizes: tuple[int, int]) -> Iterator[tuple[Array, Array]]:
    """Pairs of an element and its weight for each resized one, both (resized,), found by resizing combs with onnxruntime.

    Two teeth of a comb are further apart than what one resized element is made of, so that each tooth it sees is known by its place.
    """
    size, resized = sizes
    scale = _scale(context, axis)
    ratio = size / resized if scale is None else 1.0 / scale
    spacing = 4 * int(np.ceil(ratio)) + 6
    combs = (np.arange(size)[None, :] % spacing == np.arange(spacing)[:, None]).astype(np.float32)
    seen = _resized(context, axis, sizes, combs)
    centres = (np.arange(resized) + 0.5) * ratio - 0.5
    teeth = np.arange(spacing)[:, None]
    places = teeth + spacing * np.round((centres[None, :] - teeth) / spacing).astype(np.int64)
    most, chosen = int((seen != 0).sum(axis=0).max(initial=1)), np.arange(resized)
    for row in np.argsort(-np.abs(seen), axis=0)[:most]:
        yield np.clip(places[row, chosen], 0, size - 1), seen[row, chosen]


def _resized(context: Context, axis: int, sizes: tuple[int, int], rows: Array) -> Array:
    """`rows` (n, size), each resized as the node resizes `axis`."""
    running = session(_one_axis(context, axis, len(rows), sizes))
    return np.asarray(running.run(None, {"x": rows.reshape(len(rows), 1, 1, -1)})[0])[:, 0, 0]


def _one_axis(context: Context, axis: int, rows: int, sizes: tuple[int, int]) -> ModelProto:
    """A model that resizes (n, 1, 1, size) along its last axis just as the node does along `axis`.

    It doubles the axis before, as onnxruntime only copies where no size changes.
    """
    scale, (size, resized) = _scale(context, axis), sizes
    how = np.array([rows, 1, 2, resized]) if scale is None else np.array([1.0, 1.0, 2.0, scale], dtype=np.float32)
    kept = {name: context.attribute(name) for name in _CARRIED if context.attribute(name) is not None}
    node = helper.make_node("Resize", ["x", "", *([""] if scale is None else []), "how"], ["y"], **kept)
    float32 = np.dtype(np.float32)
    shapes = declare("x", float32, ["n", 1, 1, size]), declare("y", float32, ["n", 1, 2, resized])
    return write("resize", [node], shapes[:1], shapes[1:], {"how": how})


def _scale(context: Context, axis: int) -> float | None:
    """The scale given for an axis, which may be given for some axes only; None where sizes are given instead."""
    scales, rank = context.constant(2), len(context.shape(0))
    if scales is None or not scales.size:
        return None
    axes = [one % rank for one in context.attribute("axes", range(rank))]
    return float(scales[axes.index(axis)]) if axis in axes else 1.0
