"""Convolutions, pools, resizing."""

from typing import Any

import numpy as np

from tests.support.operators.cases import Source, cases
from tests.support.operators.check import Case


def _spatial(source: Source, rank: int, smallest: int) -> list[int]:
    return source.wholes(rank, smallest, smallest + {1: 8, 2: 4, 3: 1}[rank])


def _laid(source: Source, rank: int, kernel: list[int], *, dilated: bool = True) -> dict[str, Any]:
    given: dict[str, Any] = {"strides": source.wholes(rank, 1, 3)}
    padding = source.one_of("none", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID")
    if padding == "pads":
        given["pads"] = [source.whole(0, size - 1) for size in kernel * 2]
    elif padding != "none":
        given |= {"auto_pad": padding, "strides": [min(pair) for pair in zip(given["strides"], kernel, strict=True)]}
    if dilated and not padding.startswith("SAME") and source.whole(0, 1):  # onnxruntime: no dilation with SAME
        given["dilations"] = source.wholes(rank, 1, 2)
    return given


@cases("Conv", count=26)
def convolution(source: Source) -> Case:
    rank = source.one_of(1, 2, 2, 2, 3)
    kernel = source.wholes(rank, 1, 3)
    group, inner, outer = source.one_of((1, 2, 3), (1, 1, 2), (2, 2, 4), (3, 1, 3), (2, 1, 4), (4, 1, 4))
    inputs = [source.normal(2, group * inner, *_spatial(source, rank, 5)), source.normal(outer, inner, *kernel), source.normal(outer)]
    return Case("Conv", inputs[: source.whole(2, 3)], {"group": group, **_laid(source, rank, kernel)}, step=1.0)


@cases("Conv", count=3)
def pointwise(source: Source) -> Case:
    rank = source.whole(1, 3)
    x = source.normal(2, 3, *_spatial(source, rank, 3))
    return Case("Conv", [x, source.normal(2, 3, *[1] * rank)], source.one_of({}, {"strides": [1] * rank}), step=1.0)


@cases("Conv", count=24)
def narrow_depthwise(source: Source) -> Case:
    """Both gradients at once, over the whole plane and over blocks of rows."""
    kernel, dilations = source.wholes(2, 1, 3), source.wholes(2, 1, 2)
    spans = [(k - 1) * dilation for k, dilation in zip(kernel, dilations, strict=True)]
    given = {"group": 3, "strides": source.wholes(2, 1, 3), "dilations": dilations}
    given["pads"] = [source.whole(0, span + 1) for span in spans * 2]
    sizes = source.one_of((6, 7), (16, 14), (17, 12))
    return Case("Conv", [source.normal(2, 3, *sizes), source.normal(3, 1, *kernel)], given, step=1.0)


@cases("Conv", count=6)
def depthwise(source: Source) -> Case:
    """Narrow and wide: the two ways to its weights alone."""
    kernel = source.wholes(2, 1, 3)
    width, times = source.one_of(5, 8, 24), source.whole(1, 2)
    given = {"group": 3, "strides": source.wholes(2, 1, 2), "pads": [1, 1, 0, 1], "dilations": source.wholes(2, 1, 2)}
    return Case("Conv", [source.normal(2, 3, 5, width), source.normal(3 * times, 1, *kernel)], given, step=1.0)


@cases("ConvTranspose", count=16)
def transposed_convolution(source: Source) -> Case:
    rank = source.one_of(1, 2, 2)
    kernel, strides = source.wholes(rank, 1, 3), source.wholes(rank, 1, 3)
    group, inner, outer = source.one_of((1, 2, 3), (1, 1, 2), (2, 4, 2), (3, 3, 1))
    sizes = source.wholes(rank, 3, 5)
    given: dict[str, Any] = {"group": group, "strides": strides}
    how = source.one_of("plain", "pads", "added", "shape", "SAME_UPPER", "SAME_LOWER")
    if how == "pads":
        given |= {"pads": [source.whole(0, size // 2) for size in kernel * 2], "dilations": source.wholes(rank, 1, 2)}
    elif how == "added":
        given["output_padding"] = [stride - 1 for stride in strides]
    elif how == "shape":
        given["output_shape"] = [(size - 1) * stride + k for size, stride, k in zip(sizes, strides, kernel, strict=True)]
    elif how != "plain":
        given |= {"auto_pad": how, "strides": [min(stride, k) for stride, k in zip(strides, kernel, strict=True)]}
    inputs = [source.normal(2, inner, *sizes), source.normal(inner, outer, *kernel), source.normal(group * outer)]
    return Case("ConvTranspose", inputs[: source.whole(2, 3)], given, step=1.0)


@cases("MaxPool", count=14)
def max_pool(source: Source) -> Case:
    rank = source.one_of(1, 2, 2, 3)
    kernel = source.wholes(rank, 1, 3)
    given = {"kernel_shape": kernel, **_laid(source, rank, kernel)}
    if "auto_pad" not in given:
        given["ceil_mode"] = source.whole(0, 1)
    return Case("MaxPool", [source.distinct(2, 2, *_spatial(source, rank, 5))], given)


@cases("MaxPool", count=1)
def max_pool_by_columns(source: Source) -> Case:
    return Case("MaxPool", [source.distinct(2, 2, 4, 4)], {"kernel_shape": [2, 2], "storage_order": 1}, refused="storage_order")


@cases("AveragePool", count=14)
def average_pool(source: Source) -> Case:
    rank = source.one_of(1, 2, 2, 3)
    kernel = source.wholes(rank, 1, 3)
    given = {"kernel_shape": kernel, **_laid(source, rank, kernel, dilated=False), "count_include_pad": source.whole(0, 1)}
    if "auto_pad" not in given and not given["count_include_pad"]:
        given["ceil_mode"] = source.whole(0, 1)
    return Case("AveragePool", [source.normal(2, 2, *_spatial(source, rank, 5))], given, step=1.0)


@cases("AveragePool", count=1)
def average_pool_counting_padding_in_part(source: Source) -> Case:
    given = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1, "count_include_pad": 1}
    return Case("AveragePool", [source.normal(2, 2, 6, 6)], given, step=1.0, refused="ceil_mode")


@cases("GlobalAveragePool", count=2)
def global_average_pool(source: Source) -> Case:
    return Case("GlobalAveragePool", [source.normal(*source.shape(source.whole(3, 5)))], step=1.0)


@cases("GlobalMaxPool", count=2)
def global_max_pool(source: Source) -> Case:
    return Case("GlobalMaxPool", [source.distinct(*source.shape(source.whole(3, 5)))], step=1 / 64)


@cases("Resize", count=12)
def resize(source: Source) -> Case:
    x = source.normal(2, 2, *source.wholes(2, 3, 5))
    given: dict[str, Any] = {"mode": source.one_of("nearest", "linear")}
    given["coordinate_transformation_mode"] = source.one_of("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    if given["mode"] == "nearest":
        given["nearest_mode"] = source.one_of("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    if source.whole(0, 1):
        sizes = np.array([*x.shape[:2], *source.wholes(2, 2, 8)])
        return Case("Resize", [x, None, None, sizes], given, step=1.0)
    scales = np.array([1, 1, *source.random.choice([0.5, 1.0, 1.5, 2.0, 2.7], size=2)], dtype=np.float32)
    return Case("Resize", [x, None, scales], given, frozenset({2}), step=1.0)


@cases("Resize", count=3)
def resize_some_axes(source: Source) -> Case:
    """A scale may move elements also where it leaves the size: 3 * 1.2 is 3."""
    scales = source.random.choice([1.2, 2.0], size=2).astype(np.float32)
    given = {"mode": "linear", "axes": source.one_of([2, 3], [-1, -2])}
    return Case("Resize", [source.normal(2, 2, 3, 3), None, scales], given, frozenset({2}), step=1.0)


@cases("Resize", count=4)
def resize_smoothly(source: Source) -> Case:
    given = source.one_of({"mode": "cubic"}, {"mode": "cubic", "exclude_outside": 1}, {"mode": "linear", "antialias": 1})
    sizes = np.array([2, 2, *source.wholes(2, 2, 7)])
    return Case("Resize", [source.normal(2, 2, 4, 5), None, None, sizes], given, step=1.0)


@cases("Resize", count=1)
def resize_keeping_the_aspect(source: Source) -> Case:
    given = {"mode": "linear", "keep_aspect_ratio_policy": "not_larger", "axes": [2, 3]}
    return Case("Resize", [source.normal(2, 2, 4, 4), None, None, np.array([6, 8])], given, step=1.0, refused="keep_aspect")


@cases("Resize", count=1)
def resize_cut_out(source: Source) -> Case:
    region = np.array([0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9], dtype=np.float32)
    inputs = [source.normal(2, 2, 4, 4), region, np.array([1, 1, 2, 2], dtype=np.float32)]
    given = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
    return Case("Resize", inputs, given, frozenset({1, 2}), step=1.0, refused="tf_crop_and_resize")


@cases("DepthToSpace", "SpaceToDepth", count=2)
def blocks(source: Source, op_type: str) -> Case:
    mode = {"mode": source.one_of("DCR", "CRD")} if op_type == "DepthToSpace" else {}
    x = source.normal(2, 8, 2, 4) if op_type == "DepthToSpace" else source.normal(2, 2, 4, 2)
    return Case(op_type, [x], {"blocksize": 2, **mode}, step=1.0)
