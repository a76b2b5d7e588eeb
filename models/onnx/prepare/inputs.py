"""The inputs of a file as training feeds them: a row per example in front, everything else fixed."""

from collections.abc import Iterable, Mapping

import numpy as np
from onnx import ValueInfoProto, helper

from models.onnx.prepare.graph import BATCH, Graph
from models.onnx.prepare.refusals import Unsupported
from models.onnx.prepare.roles import rename_input


def add_inputs(graph: Graph, inputs: Iterable[ValueInfoProto], sizes: Mapping[str, int], values: Mapping[str, float]) -> None:
    """Add the file's inputs to the graph. One that `values` names becomes a constant filled with its number.

    An input whose rows stand on another axis, as a recurrent net's states do, is fed with rows in front and turned in the graph.
    """
    known = list(inputs)
    unknown = values.keys() - {value.name for value in known}
    if unknown:
        step = "Inputs: " + ", ".join(value.name for value in known) + "."
        raise Unsupported(f"there is no input {', '.join(sorted(unknown))}", next_step=step)
    fed = [value for value in known if value.name not in values]
    for value in known:
        if not value.type.HasField("tensor_type"):
            raise Unsupported(f"the input {value.name!r} is no tensor", next_step="Export a model that takes tensors.")
        if value.name in values:
            _fill(graph, value, values[value.name], sizes)
        else:
            _feed(graph, value, _place(value, fed, sizes), sizes)


def _size(value: ValueInfoProto, axis: int, sizes: Mapping[str, int]) -> int:
    """The size of an axis as the file or `sizes` gives it, by its name or as INPUT:AXIS; 0 if it is open."""
    dim = value.type.tensor_type.shape.dim[axis]
    return max(dim.dim_value, 0) or sizes.get(dim.dim_param, 0) or sizes.get(f"{value.name}:{axis}", 0)


def _place(value: ValueInfoProto, fed: Iterable[ValueInfoProto], sizes: Mapping[str, int]) -> int | None:
    """The axis of an input's rows: the first, where that is open or no input's is; else the one named as rows are, or the only open one."""
    dims = value.type.tensor_type.shape.dim
    firsts = [other.type.tensor_type.shape.dim[0] for other in fed if other.type.tensor_type.shape.dim]
    rows = {dim.dim_param for dim in firsts if dim.dim_param}
    if dims and dims[0].dim_value <= 0:
        return 0
    if dims and not any(dim.dim_value <= 0 for dim in firsts):  # a file of a fixed number of rows, which its first input has in front
        return next((axis for axis, dim in enumerate(dims) if dim.dim_value == firsts[0].dim_value), None)
    named = [axis for axis, dim in enumerate(dims) if dim.dim_param in rows and dim.dim_param]
    free = [axis for axis in range(len(dims)) if not _size(value, axis, sizes)]
    return next(iter(named), free[0] if len(free) == 1 else None)


def _fill(graph: Graph, value: ValueInfoProto, number: float, sizes: Mapping[str, int]) -> None:
    dims = [_size(value, axis, sizes) for axis in range(len(value.type.tensor_type.shape.dim))]
    if not all(dims):
        raise Unsupported(f"the input {value.name!r} has no fixed size to fill", next_step="Give its axes numbers with --size.")
    graph.initializers[value.name] = np.full(dims, number).astype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


def _feed(graph: Graph, value: ValueInfoProto, place: int | None, sizes: Mapping[str, int]) -> None:
    dims = value.type.tensor_type.shape.dim
    if place is None:
        step = f"Give it one number for all rows: --value {value.name}=NUMBER; or export with a batch axis first."
        raise Unsupported(f"the input {value.name!r} has no batch axis", next_step=step)
    shape: list[int | str] = [BATCH]
    for number, dim in enumerate(dims):
        size = _size(value, number, sizes)
        if number != place and size < 1:
            named = f"--size {dim.dim_param}=..." if dim.dim_param else f"--size {value.name}:{number}=..."
            message = f"axis {number} of the input {value.name!r} has no fixed size ({dim.dim_param or 'unknown'})"
            raise Unsupported(message, next_step=f"Only the batch axis may vary: export with a fixed size, or give {named}.")
        shape += [size] if number != place else []
    graph.inputs.append(value.name)
    graph.shapes[value.name] = tuple(shape)
    graph.dtypes[value.name] = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    if place:
        _turn(graph, value.name, place, len(dims))


def _turn(graph: Graph, name: str, place: int, rank: int) -> None:
    """Readers of an input see its rows on the axis `place`."""
    turned = f"{name}/turned"
    for node in graph.nodes:
        rename_input(node, name, turned)
    perm = [*range(1, place + 1), 0, *range(place + 1, rank)]
    graph.nodes.insert(0, helper.make_node("Transpose", [name], [turned], name=turned, perm=perm))
