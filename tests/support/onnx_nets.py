"""Small inference files as people have them, written with `onnx` alone."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

from hushfleet.randomness import SeededRandomness
from hushfleet.training import uniform

_HEADER = '<ir_version: 8, opset_import: ["" : 18]>\n'

SENSOR_WINDOWS = """
windows (float[N, 3, 32] window) => (float[N, 3] probability)
{
   c1 = Conv <kernel_shape = [5], strides = [2], pads = [2, 2]> (window, conv1_weight, conv1_bias)  r1 = Relu (c1)
   c2 = Conv <kernel_shape = [3], pads = [1, 1]> (r1, conv2_weight, conv2_bias)  r2 = Relu (c2)
   pooled = GlobalAveragePool (r2)  flat = Flatten <axis = 1> (pooled)
   scores = Gemm <transB = 1> (flat, head_weight, head_bias)  probability = Softmax <axis = 1> (scores)
}
"""
SENSOR_SHAPES = {
    "conv1_weight": (6, 3, 5), "conv1_bias": (6,), "conv2_weight": (8, 6, 3), "conv2_bias": (8,), "head_weight": (3, 8), "head_bias": (3,),
}  # fmt: skip

IMAGES = """
images (float[N, 1, 8, 8] image) => (float[N, 4] scores)
{
   c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image, conv_weight, conv_bias)  r = Relu (c)
   p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)  flat = Flatten <axis = 1> (p)
   scores = Gemm <transB = 1> (flat, head_weight, head_bias)
}
"""
IMAGE_SHAPES = {"conv_weight": (4, 1, 3, 3), "conv_bias": (4,), "head_weight": (4, 64), "head_bias": (4,)}

LENET = """
lenet (float[N, 1, 8, 8] image) => (float[N, 10] scores)
{
   c1 = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image, conv1_weight, conv1_bias)  r1 = Relu (c1)
   p1 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r1)
   c2 = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (p1, conv2_weight, conv2_bias)  r2 = Relu (c2)
   p2 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r2)  flat = Flatten <axis = 1> (p2)
   scores = Gemm <transB = 1> (flat, dense_weight, dense_bias)
}
"""
LENET_SHAPES = {
    "conv1_weight": (4, 1, 3, 3), "conv1_bias": (4,), "conv2_weight": (8, 4, 3, 3), "conv2_bias": (8,),
    "dense_weight": (10, 32), "dense_bias": (10,),
}  # fmt: skip


def lenet() -> bytes:
    """`simulation/lenet.onnx`: weights uniform within the bounds of He et al. 2015, the last layer's near zero, biases zero."""
    model: onnx.ModelProto = parser.parse_model(_HEADER + LENET)
    for name, shape in LENET_SHAPES.items():
        draws = 2 * uniform(SeededRandomness(b"lenet " + name.encode()), int(np.prod(shape))).reshape(shape) - 1
        limit = 0.0 if name.endswith("bias") else np.sqrt(6 / np.prod(shape[1:])) * (0.3 if name == "dense_weight" else 1.0)
        model.graph.initializer.append(numpy_helper.from_array((limit * draws).astype(np.float32), name))
    return model.SerializeToString(deterministic=True)


def write_net(path: Path, graph: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """`graph` in onnx's text form with weights in [-1/2, 1/2), the same every time."""
    model: onnx.ModelProto = parser.parse_model(_HEADER + graph)
    for name, shape in shapes.items():
        values = uniform(SeededRandomness(name.encode()), int(np.prod(shape))).reshape(shape) - 0.5
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    onnx.checker.check_model(model)
    onnx.save(model, path)
