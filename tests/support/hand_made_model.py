"""A trainable model written by hand: a small perceptron whose gradients are standard operators, independent of `models.onnx.prepare`."""

from hashlib import sha256

import numpy as np
import onnx
from onnx import numpy_helper, parser

from models.onnx.manifest import Logits, Manifest, Parameter, Tensor
from models.onnx.trainable import INFER, TRAIN, TrainableModel

SHAPES = {"first": (4, 6), "first_bias": (6,), "second": (6, 3), "second_bias": (3,)}
_FORWARD = """
   a0 = MatMul (x, first)  a1 = Add (a0, first_bias)  h = Tanh (a1)
   b0 = MatMul (h, second)  z = Add (b0, second_bias)  p = Softmax <axis = 1> (z)
"""
_HEADER = '<ir_version: 8, opset_import: ["" : 18]>\n'
_TRAIN = (
    """
train (float[N, 4] x, int64[N] y, float[4, 6] first, float[6] first_bias, float[6, 3] second, float[3] second_bias)
   => (float loss, float[4, 6] d_first, float[6] d_first_bias, float[6, 3] d_second, float[3] d_second_bias)
<int64 classes = {3}, float[2] off_on = {0.0, 1.0}, int64[1] first_axis = {0}, float one = {1.0}>
{
"""
    + _FORWARD
    + """
   wanted = OneHot <axis = 1> (y, classes, off_on)
   logs = LogSoftmax <axis = 1> (z)  picked = Mul (logs, wanted)
   sizes = Shape <start = 0, end = 1> (x)  count0 = Cast <to = 1> (sizes)  count = Squeeze (count0)
   total = ReduceSum <keepdims = 0> (picked)  mean = Div (total, count)  loss = Neg (mean)
   off = Sub (p, wanted)  dz = Div (off, count)
   ht = Transpose <perm = [1, 0]> (h)  d_second = MatMul (ht, dz)  d_second_bias = ReduceSum <keepdims = 0> (dz, first_axis)
   wt = Transpose <perm = [1, 0]> (second)  dh = MatMul (dz, wt)
   hh = Mul (h, h)  slope = Sub (one, hh)  da = Mul (dh, slope)
   xt = Transpose <perm = [1, 0]> (x)  d_first = MatMul (xt, da)  d_first_bias = ReduceSum <keepdims = 0> (da, first_axis)
}
"""
)
_INFER = "infer (float[N, 4] x) => (float[N, 3] p)\n{" + _FORWARD + "}\n"


def hand_made(**changes: object) -> TrainableModel:
    """`mlp:4x6x3:tanh` as a trainable model; `changes` go into the manifest."""
    train = parser.parse_model(_HEADER + _TRAIN).SerializeToString()
    weights = {name: np.linspace(-0.5, 0.7, int(np.prod(shape)), dtype=np.float32).reshape(shape) for name, shape in SHAPES.items()}
    infer = _with_initialisers(weights)
    manifest = Manifest(
        name="hand-made",
        loss="softmax-cross-entropy",
        parameters=tuple(Parameter(name, shape, name, f"d_{name}", infer.index(weights[name].tobytes())) for name, shape in SHAPES.items()),
        features=(Tensor("x", "float32", (4,)),),
        targets=Tensor("y", "int64", (), 0, 2),
        weights=None,
        loss_output="loss",
        logits=Logits("p", (3,), "softmax"),
        frozen=(),
        opset=18,
        ir_version=8,
        source=sha256(infer).hexdigest(),
        hashes={TRAIN: sha256(train).hexdigest(), INFER: sha256(infer).hexdigest()},
    )
    return TrainableModel(type(manifest)(**{name: getattr(manifest, name) for name in manifest.__struct_fields__} | changes), train, infer)


def _with_initialisers(weights: dict[str, np.ndarray]) -> bytes:
    model: onnx.ModelProto = parser.parse_model(_HEADER + _INFER)
    model.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in weights.items())
    return model.SerializeToString()
