"""Resize is linear and works axis by axis: its derivative multiplies by the transposed matrix of each axis."""

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, helper

from models.onnx.prepare.graph import Array
from models.onnx.prepare.model import declare, session, write
from models.onnx.prepare.registry import Context, derivative

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
            grad = _along(context, grad, axis, _matrix(context, axis).astype(dtype))
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


def _matrix(context: Context, axis: int) -> Array:
    """(size, resized): what each element gives to each resized one, found by resizing unit vectors with onnxruntime."""
    size, resized = context.shape(0)[axis], context.out_shape()[axis]
    if not isinstance(size, int) or not isinstance(resized, int):
        raise context.refusal(f"the size of its axis {axis} is not fixed", "export the model with fixed spatial sizes")
    unit = np.eye(size, dtype=np.float32).reshape(size, 1, 1, size)
    return np.asarray(session(_one_axis(context, axis, size, resized)).run(None, {"x": unit})[0])[:, 0, 0]


def _one_axis(context: Context, axis: int, size: int, resized: int) -> ModelProto:
    """A model that resizes (size, 1, 1, size) along its last axis just as the node does along `axis`.

    It doubles the axis before, as onnxruntime only copies where no size changes.
    """
    scale = _scale(context, axis)
    how = np.array([size, 1, 2, resized]) if scale is None else np.array([1.0, 1.0, 2.0, scale], dtype=np.float32)
    kept = {name: context.attribute(name) for name in _CARRIED if context.attribute(name) is not None}
    node = helper.make_node("Resize", ["x", "", *([""] if scale is None else []), "how"], ["y"], **kept)
    float32 = np.dtype(np.float32)
    shapes = declare("x", float32, [size, 1, 1, size]), declare("y", float32, [size, 1, 2, resized])
    return write("resize", [node], shapes[:1], shapes[1:], {"how": how})


def _scale(context: Context, axis: int) -> float | None:
    """The scale given for an axis, which may be given for some axes only; None where sizes are given instead."""
    scales, rank = context.constant(2), len(context.shape(0))
    if scales is None or not scales.size:
        return None
    axes = [one % rank for one in context.attribute("axes", range(rank))]
    return float(scales[axes.index(axis)]) if axis in axes else 1.0
