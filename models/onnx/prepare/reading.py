"""Reads the files that exporters write: opset 7 and later, half precision, stored tensors as inputs or Constant nodes, functions."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import (
    FunctionProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    defs,
    helper,
    inliner,
    numpy_helper,
    shape_inference,
    version_converter,
)

from hushfleet.errors import HushfleetError
from models.onnx.prepare.graph import Array, Graph, attribute
from models.onnx.prepare.half import in_single
from models.onnx.prepare.inputs import add_inputs
from models.onnx.prepare.model import IR_VERSION, OPSET
from models.onnx.prepare.refusals import Unsupported, unsupported

OLDEST = 7

Types = dict[str, TypeProto]

# New meaning under an old name: written with older operators instead.
_CHANGED = {"GroupNormalization"}
# Attributes that came after opset 18, with the value that means what opset 18 does.
_LATER: dict[str, Callable[[Any], bool]] = {
    "dilations": lambda value: all(size == 1 for size in value),
    "saturate": bool,
    "round_mode": lambda value: value == "up",
    "allowzero": lambda _: True,
}


def as_it_is(path: Path) -> ModelProto:
    """The model in the file. `Unsupported` for what is none, FileNotFoundError."""
    try:
        return onnx.load(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # protobuf raises its own kinds, onnx others
        raise Unsupported(f"{path} is not an ONNX model: {error}", next_step="Export it anew.") from error


def read(path: Path) -> ModelProto:
    """The file as opset 18 without functions of its own. `Unsupported` for what is no ONNX model or older than opset 7."""
    model = as_it_is(path)
    if not model.graph.output:
        raise Unsupported(f"{path} is not an ONNX model, or one without outputs", next_step="Export it anew.")
    with damaged_refused(path):
        return to_opset_18(model)


@contextmanager
def damaged_refused(path: Path) -> Iterator[None]:
    """Turn what libraries raise over a damaged file into a refusal that names its type: they check little and raise anything."""
    try:
        yield
    except (HushfleetError, FileNotFoundError):
        raise
    except Exception as error:
        text = f"{path} is a damaged ONNX model, or of a kind that is not understood: {type(error).__name__}"
        raise Unsupported(text, next_step="Export it anew.") from error


def to_opset_18(model: ModelProto) -> ModelProto:
    """The model with functions inlined, in opset 18; operators of other domains stay."""
    if model.functions:
        model = inliner.inline_local_functions(model, convert_version=False)
    _stored_are_no_inputs(model)
    in_single(model.graph)
    opset = next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), OPSET)
    if opset < OLDEST:
        raise Unsupported(f"a file of opset {opset}", next_step=f"Export it with opset {OLDEST} or newer, best {OPSET}.")
    if opset < OPSET:
        model = _up(model)
    if opset > OPSET:
        _down(model, opset)
    del model.graph.value_info[:]
    for entry in model.opset_import:
        if entry.domain in {"", "ai.onnx"}:
            entry.version = OPSET
    model.ir_version = IR_VERSION
    return model


def _stored_are_no_inputs(model: ModelProto) -> None:
    stored = {value.name for value in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = max(model.ir_version, 4)  # from there on, stored tensors need not be inputs


def _up(model: ModelProto) -> ModelProto:
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception as error:  # a C++ exception of the converter, of any kind
        raise Unsupported(f"onnx cannot convert the file to opset {OPSET}: {error}", next_step=f"Export it with opset {OPSET}.") from error


def _down(model: ModelProto, opset: int) -> None:
    types = _types(model)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes += _lower(node, opset, types) if node.domain in {"", "ai.onnx"} else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _types(model: ModelProto) -> Types:
    """Types of values by name, as far as onnx can tell them."""
    try:
        graph = shape_inference.infer_shapes(model).graph
    except Exception:  # noqa: BLE001 -- a C++ exception of any kind; types that are missing are taken for float32
        graph = model.graph
    known = {value.name: value.type for value in (*graph.input, *graph.value_info, *graph.output)}
    return known | {value.name: helper.make_tensor_type_proto(value.data_type, value.dims) for value in graph.initializer}


def _lower(node: NodeProto, opset: int, types: Types) -> list[NodeProto]:
    schema = defs.get_schema(node.op_type, opset)
    if schema.since_version <= OPSET:
        return [node]
    if node.op_type == "Gelu":
        return _gelu(node)
    if node.op_type in _CHANGED or not defs.has(node.op_type, OPSET):
        return _expand(node, schema, types)
    known = defs.get_schema(node.op_type, OPSET).attributes
    for one in list(node.attribute):
        if one.name not in known:
            if one.name not in _LATER or not _LATER[one.name](attribute(node, one.name)):
                raise unsupported(node, f"its attribute {one.name!r} came after opset {OPSET}", f"Export it with opset {OPSET}.")
            node.attribute.remove(one)
    return [node]


def _expand(node: NodeProto, schema: Any, types: Types) -> list[NodeProto]:  # noqa: ANN401 -- onnx's stubs lack what is read of a schema
    """The function that onnx gives for an operator, as it is for opset 18, or for its own opset and then lowered itself."""
    plain = schema.get_function_with_opset_version(OPSET)
    if plain:
        return _inline(node, FunctionProto.FromString(plain))
    versions = [*schema.function_opset_versions, *schema.context_dependent_function_opset_versions]
    if not versions:
        raise unsupported(node, f"this operator came after opset {OPSET}", f"Export it with opset {OPSET}.")
    version = min(versions)
    if version in schema.function_opset_versions:
        function = schema.get_function_with_opset_version(version)
    else:
        unknown = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
        given = [types.get(name, unknown).SerializeToString() for name in node.input]
        function = schema.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), given)
    inner = _inline(node, FunctionProto.FromString(function))
    return [lowered for one in inner for lowered in _lower(one, version, types)]


def _inline(node: NodeProto, function: FunctionProto) -> list[NodeProto]:
    """The function's nodes under names of their own, its attributes filled in."""
    stem = node.output[0]
    names = {**dict(zip(function.input, [*node.input, *[""] * len(function.input)], strict=False)), "": ""}
    names.update(zip(function.output, node.output, strict=False))
    given = {one.name: one for one in [*function.attribute_proto, *node.attribute]}
    nodes = []
    for inner in function.node:
        copy = NodeProto()
        copy.CopyFrom(inner)
        copy.name = f"{stem}/{inner.name or inner.output[0]}"
        for field in (copy.input, copy.output):
            field[:] = [names.setdefault(name, f"{stem}/{name}") for name in field]
        for one in list(copy.attribute):
            if one.ref_attr_name:
                copy.attribute.remove(one)
                if one.ref_attr_name in given:
                    filled = copy.attribute.add()
                    filled.CopyFrom(given[one.ref_attr_name])
                    filled.name = one.name
        nodes.append(copy)
    return nodes


def _gelu(node: NodeProto) -> list[NodeProto]:
    """It is x / 2 (1 + erf(x / sqrt 2)), or the formula with tanh (ONNX, Gelu-20)."""
    x, y = node.input[0], node.output[0]
    tanh = attribute(node, "approximate", "none") == "tanh"
    if tanh:
        inner = [
            ("Mul", [x, x], "square"),
            ("Mul", ["square", x], "cube"),
            ("Mul", ["cube", 0.044715], "scaled"),
            ("Add", [x, "scaled"], "sum"),
            ("Mul", ["sum", float(np.sqrt(2 / np.pi))], "argument"),
            ("Tanh", ["argument"], "curve"),
        ]
    else:
        inner = [("Mul", [x, float(np.sqrt(0.5))], "argument"), ("Erf", ["argument"], "curve")]
    steps = [*inner, ("Add", ["curve", 1.0], "raised"), ("Mul", [x, "raised"], "double"), ("Mul", ["double", 0.5], y)]
    nodes: list[NodeProto] = []
    for op_type, inputs, output in steps:
        names = []
        for one in inputs:
            if isinstance(one, float):
                number = helper.make_node("Constant", [], [f"{y}/number_{len(nodes)}"], value_float=one)
                nodes += [number, helper.make_node("CastLike", [number.output[0], x], [f"{y}/number_{len(nodes)}_like"])]
                names.append(nodes[-1].output[0])
            else:
                names.append(one if one == x else f"{y}/{one}")
        nodes.append(helper.make_node(op_type, names, [y if output == y else f"{y}/{output}"], name=f"{y}/{op_type}_{len(nodes)}"))
    return nodes


def to_graph(model: ModelProto, sizes: Mapping[str, int], values: Mapping[str, float]) -> Graph:
    """The model's nodes and tensors; Constant nodes become stored tensors, every node gets a name, inputs a batch axis in front.

    `sizes` gives numbers to named axes, `values` to whole inputs, which then are constants. `Unsupported` for another axis without a size.
    """
    graph = Graph([], [], [value.name for value in model.graph.output], {})
    for value in model.graph.initializer:
        graph.initializers[value.name] = numpy_helper.to_array(value)
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain in {"", "ai.onnx"}:
            graph.initializers[node.output[0]] = stored_value(node)
        else:
            node.name = node.name or f"{node.op_type}_{len(graph.nodes)}"
            graph.nodes.append(node)
    add_inputs(graph, model.graph.input, sizes, values)
    return graph


def stored_value(node: NodeProto) -> Array:
    """The value of a Constant node. `Unsupported` for text."""
    one = node.attribute[0]
    value = helper.get_attribute_value(one)
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if one.name in {"value_float", "value_floats"}:
        return np.array(value, dtype=np.float32)
    if one.name in {"value_int", "value_ints"}:
        return np.array(value, dtype=np.int64)
    raise unsupported(node, f"a constant given as {one.name!r}", "Only numbers can be used.")
