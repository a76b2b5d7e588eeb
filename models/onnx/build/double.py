"""A float32 file as float64, for checks that need more digits than the device does."""

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, numpy_helper

from models.onnx.build.model import tensor


def in_double(model: ModelProto) -> ModelProto:
    """A copy in which every float32 tensor, input, output and cast is float64. onnxruntime lacks some operators for it."""
    copy = ModelProto()
    copy.CopyFrom(model)
    _widen(copy.graph)
    return copy


def _widen(graph: GraphProto) -> None:
    for value in [*graph.input, *graph.output, *graph.value_info]:
        _widen_declared(value)
    for stored in graph.initializer:
        stored.CopyFrom(_wide(stored))
    for node in graph.node:
        for one in node.attribute:
            if one.HasField("t"):
                one.t.CopyFrom(_wide(one.t))
            if node.op_type in {"Cast", "RandomNormal", "RandomUniform"} and one.name in {"to", "dtype"} and one.i == TensorProto.FLOAT:
                one.i = TensorProto.DOUBLE
            for inner in [one.g] if one.HasField("g") else one.graphs:
                _widen(inner)


def _widen_declared(value: ValueInfoProto) -> None:
    if value.type.tensor_type.elem_type == TensorProto.FLOAT:
        value.type.tensor_type.elem_type = TensorProto.DOUBLE


def _wide(stored: TensorProto) -> TensorProto:
    if stored.data_type != TensorProto.FLOAT:
        return stored
    return tensor(stored.name, numpy_helper.to_array(stored).astype(np.float64))
