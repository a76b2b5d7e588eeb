"""Files in half precision, in single: devices train float32."""

import numpy as np
from onnx import GraphProto, TensorProto, numpy_helper

HALF = {TensorProto.FLOAT16, TensorProto.BFLOAT16}


def in_single(graph: GraphProto) -> None:
    """Make every half-precision tensor, input, output and cast float32, in subgraphs too."""
    for value in [*graph.input, *graph.output, *graph.value_info]:
        if value.type.tensor_type.elem_type in HALF:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for stored in graph.initializer:
        _widen(stored)
    for node in graph.node:
        for one in node.attribute:
            if one.HasField("t"):
                _widen(one.t)
            if one.name in {"to", "dtype"} and one.i in HALF:
                one.i = TensorProto.FLOAT
            for inner in [one.g] if one.HasField("g") else one.graphs:
                in_single(inner)


def is_half(graph: GraphProto) -> bool:
    """True if some stored tensor is in half precision."""
    return any(stored.data_type in HALF for stored in graph.initializer)


def _widen(stored: TensorProto) -> None:
    if stored.data_type in HALF:
        values = numpy_helper.to_array(stored).astype(np.float32)
        stored.CopyFrom(numpy_helper.from_array(values, stored.name))
