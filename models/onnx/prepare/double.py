"""A float32 file as float64, for checks that need more digits than the device does."""

import re
from collections.abc import Sequence

import numpy as np
import onnxruntime
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper, shape_inference

from models.onnx.prepare.model import reads, session, tensor
from models.onnx.prepare.spelled_out import spell_out

# no kernel, or, as for Celu, not even a definition
_MISSING = re.compile(r"(?:Could not find an implementation for |Type 'tensor\(double\)' of input parameter \S+ of operator \()(\w+)[()]")
_MOST_SINGLE = 20


def open_in_double(model: ModelProto, parameters: Sequence[str] = ()) -> tuple[onnxruntime.InferenceSession, bool]:
    """A session of the model in float64, and whether all of it is, as far as it depends on `parameters` (none: on anything).

    Operators for which onnxruntime has no float64 run in float32 between two casts. Raises what onnxruntime raises otherwise.
    """
    wide = in_double(model)
    moving = _depending(wide.graph, parameters)
    spell_out(wide, moving)
    # recurrent layers open in float64, and then do not run
    single = [op_type for op_type in ("LSTM", "GRU", "RNN") if _narrow(wide.graph, op_type)]
    for _ in range(_MOST_SINGLE):
        try:
            opened = session(wide)
        except Exception as error:
            found = _MISSING.search(str(error))
            if found is None or not _narrow(wide.graph, found[1]):
                raise
            single.append(found[1])
        else:
            return opened, not any(node.op_type in single and moving.intersection(node.output) for node in model.graph.node)
    raise AssertionError("more operators without float64 than a graph has")


def _depending(graph: GraphProto, parameters: Sequence[str]) -> set[str]:
    """Values that follow from parameters; all values without any."""
    moving = set(parameters)
    for node in graph.node:
        if not parameters or moving.intersection(reads(node)):
            moving.update(node.output)
    return moving - {""}


def _narrow(graph: GraphProto, op_type: str) -> bool:
    """Put casts around all nodes of one operator; whether there was one without."""
    nodes: list[NodeProto] = []
    floats, changed = _floats(graph), False
    for node in graph.node:
        if node.op_type != op_type or node.name.endswith("/single"):
            nodes.append(node)
            continue
        changed = True
        node.name += "/single"
        after: list[NodeProto] = []
        for field, cast, to in ((node.input, nodes, TensorProto.FLOAT), (node.output, after, TensorProto.DOUBLE)):
            for index, name in enumerate(field):
                if name in floats:
                    inner = f"{node.name}/{'in' if field is node.input else 'out'}{index}"
                    ends = ([name], [inner]) if field is node.input else ([inner], [name])
                    cast.append(helper.make_node("Cast", *ends, to=to))
                    field[index] = inner
        nodes += [node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    return changed


def _floats(graph: GraphProto) -> set[str]:
    """Names of all float64 values."""
    bare = ModelProto(graph=graph, ir_version=8, opset_import=[helper.make_opsetid("", 18)])
    known = shape_inference.infer_shapes(bare).graph
    declared = [*known.input, *known.value_info, *known.output]
    names = {value.name for value in declared if value.type.tensor_type.elem_type == TensorProto.DOUBLE}
    return names | {value.name for value in graph.initializer if value.data_type == TensorProto.DOUBLE}


def in_double(model: ModelProto) -> ModelProto:
    """A copy in which every float32 tensor, input, output and cast is float64."""
    copy = ModelProto()
    copy.CopyFrom(model)
    _widen(copy.graph)
    return copy


def _widen(graph: GraphProto) -> None:
    for value in [*graph.input, *graph.output, *graph.value_info]:
        _widen_declared(value)
    scales = {node.input[2] for node in graph.node if node.op_type == "Resize" and len(node.input) > 2}  # float32 in any case
    for stored in graph.initializer:
        if stored.name not in scales:
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
