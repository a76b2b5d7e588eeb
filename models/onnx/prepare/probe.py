"""Shapes, types and constants, found by running the graph for two numbers of rows."""

from collections.abc import Mapping

import numpy as np
from onnx import helper

from models.onnx.prepare.graph import BATCH, Array, Graph, Shape, attribute
from models.onnx.prepare.model import forward_model, reads, session
from models.onnx.prepare.refusals import Unsupported

ROWS = (3, 5)

_INDEX_READERS = {"Gather": 1, "GatherElements": 1, "GatherND": 1, "OneHot": 0}
_PASSING = {"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Slice"}


Ranges = Mapping[str, tuple[float, float | None]]
"""Bounds of inputs by name, inclusive; None for no upper one."""


def probe(graph: Graph, ranges: Ranges) -> None:
    """Fill in shapes, types and constants of every value. `Unsupported` if onnxruntime cannot run the graph.

    A value that no input's content and no parameter enters, and that is the same for both numbers of rows, is a constant.
    Nodes stay: see `fold`.
    """
    _forget(graph)
    outputs = [name for node in graph.nodes for name in node.output if name]
    runs = _run_twice(graph, outputs, ranges)
    for name, value in graph.initializers.items():
        graph.shapes[name], graph.dtypes[name] = value.shape, value.dtype
    for name in outputs:
        few, many = (run[name] for run in runs)
        if isinstance(few, np.ndarray) and isinstance(many, np.ndarray):  # others are sequences and maps: no gradient passes them
            graph.shapes[name], graph.dtypes[name] = _shape(few, many), few.dtype
    _find_constants(graph, runs)


def probe_within(graph: Graph, ranges: Ranges) -> Ranges:
    """As `probe`, and the ranges with bounds for inputs that the graph takes roots or logarithms of, found by trying."""
    open_ended = [name for name in graph.inputs if graph.dtypes[name].kind == "f" and name not in ranges]
    for low, high in _DOMAINS:
        tried = ranges if low is None else {**ranges, **dict.fromkeys(open_ended, (low, high))}
        probe(graph, tried)
        if not open_ended or _finite(graph, tried):
            return tried
    probe(graph, ranges)
    return ranges


# Bounds of inputs that are tried one after the other where a graph gives no numbers.
_DOMAINS: tuple[tuple[float | None, float | None], ...] = ((None, None), (0.0, None), (1e-3, None), (-1.0, 1.0), (0.0, 1.0), (1.0, None))


_FAR = 30.0


def _finite(graph: Graph, ranges: Ranges) -> bool:
    """True if all results are numbers; infinite ones count as none."""
    results = [name for name in graph.outputs if name in graph.dtypes and graph.is_float(name)]
    if not results:
        return True
    running = session(forward_model(graph, results))
    fed = sample(graph, ROWS[1], ranges, seed=1)
    for name, (low, high) in ranges.items():
        if name in fed:  # the bounds themselves are allowed too
            fed[name][0], fed[name][1] = low, low + _FAR if high is None else high
    read = {value.name for value in running.get_inputs()}
    return all(np.isfinite(one).all() for one in running.run(results, {name: one for name, one in fed.items() if name in read}))


def require_independent(graph: Graph, output: str, ranges: Ranges) -> None:
    """`Unsupported` if a row of `output` follows from other rows than its own: its axis 0 then is no batch of examples."""
    running = session(forward_model(graph, [output]))
    read = {value.name for value in running.get_inputs()}
    fed = {name: one for name, one in sample(graph, ROWS[1], ranges, seed=2).items() if name in read}
    straight = running.run([output], fed)[0]
    turned = running.run([output], {name: one[::-1].copy() for name, one in fed.items()})[0][::-1]
    if straight.shape == turned.shape and not np.allclose(
        straight, turned, rtol=1e-3, atol=1e-3 * float(np.abs(straight).max(initial=0.0))
    ):
        step = "Its axis 0 must be a batch of examples, each by itself; steps of one sequence are none. Export with a batch axis."
        raise Unsupported(f"a row of {output!r} changes with the rows beside it", next_step=step)


def sample(graph: Graph, rows: int, ranges: Ranges, seed: int = 0, width: float = 1.0) -> dict[str, Array]:
    """Random inputs of this many rows: normal numbers times `width`, numbers in their range where there is one."""
    generator = np.random.default_rng(seed)
    fed: dict[str, Array] = {}
    for name in graph.inputs:
        shape = [rows if size == BATCH else int(size) for size in graph.shapes[name]]
        if graph.dtypes[name].kind == "f" and name not in ranges:
            values: Array = np.asarray(width * generator.standard_normal(shape))
        else:
            low, bound = ranges.get(name, (0, 1))
            high = low + width if bound is None else bound
            whole = graph.dtypes[name].kind != "f"
            values = np.asarray(generator.integers(int(low), int(high) + 1, shape) if whole else generator.uniform(low, high, shape))
        fed[name] = values.astype(graph.dtypes[name])
    return fed


def index_ranges(graph: Graph) -> dict[str, tuple[float, float]]:
    """For whole-number inputs that look up rows of a stored table: the numbers that the table has."""
    found: dict[str, tuple[float, float]] = {}
    for name in graph.inputs:
        if graph.dtypes[name].kind in "iu":
            rows = [size for size in _tables(graph, {name}) if size]
            found[name] = (0, min(rows) - 1) if rows else (0, 1)
    return found


def _tables(graph: Graph, names: set[str]) -> list[int]:
    sizes = []
    for node in graph.nodes:
        index = _INDEX_READERS.get(node.op_type)
        if index is not None and node.input[index] in names:
            table = graph.initializers.get(node.input[1 - index])
            if table is not None:
                sizes.append(int(table) if node.op_type == "OneHot" else table.shape[attribute(node, "axis", 0)])
        elif node.op_type in _PASSING and node.input[0] in names:
            names = names | set(node.output)
    return sizes


def _forget(graph: Graph) -> None:
    for known in (graph.shapes, graph.dtypes):
        for name in known.keys() - set(graph.inputs):
            del known[name]
    graph.constants.clear()


def _run_twice(graph: Graph, outputs: list[str], ranges: Ranges) -> list[dict[str, object]]:
    if not outputs:
        return [{}, {}]
    try:
        running = session(forward_model(graph, outputs), optimise=False)
        return [dict(zip(outputs, running.run(outputs, sample(graph, rows, ranges)), strict=True)) for rows in ROWS]
    except Exception as error:  # onnxruntime's kinds share no base of their own
        step = "The file must run in onnxruntime for any number of rows: export it with a dynamic batch axis."
        raise Unsupported(f"onnxruntime cannot run the model with {ROWS[0]} and {ROWS[1]} rows: {error}", next_step=step) from error


def _shape(few: Array, many: Array) -> Shape:
    if few.ndim != many.ndim:
        raise Unsupported(f"a value has {few.ndim} axes or {many.ndim}, depending on the number of rows")
    return tuple(a if a == b else _varying(a, b) for a, b in zip(few.shape, many.shape, strict=True))


def _varying(few: int, many: int) -> str:
    factor, rest = divmod(many - few, ROWS[1] - ROWS[0])
    offset = few - factor * ROWS[0]
    if rest:
        return f"{few}|{many}"
    return ("" if factor == 1 else f"{factor}*") + BATCH + (f"{offset:+d}" if offset else "")


def _find_constants(graph: Graph, runs: list[dict[str, object]]) -> None:
    free = set(graph.parameters)
    graph.constants.update({name: value for name, value in graph.initializers.items() if name not in free})
    tainted = free | set(graph.inputs)
    for node in graph.nodes:
        if node.op_type not in {"Shape", "Size"} and (tainted.intersection(reads(node)) or node.op_type.startswith("Random")):
            tainted.update(node.output)
            continue
        for name in node.output:
            few, many = (run.get(name) for run in runs)
            if isinstance(few, np.ndarray) and isinstance(many, np.ndarray) and _same(few, many):
                graph.constants[name] = few


def fold(graph: Graph) -> None:
    """Drop the nodes that give nothing but constants, and the second input of CastLike: it gives its type, not its value."""
    for node in graph.nodes:
        if node.op_type == "CastLike":
            to = helper.np_dtype_to_tensor_dtype(graph.dtype(node.output[0]))
            node.CopyFrom(helper.make_node("Cast", node.input[:1], node.output, node.name, to=to))
    graph.nodes[:] = [node for node in graph.nodes if any(name and name not in graph.constants for name in node.output)]


def _same(few: Array, many: Array) -> bool:
    return few.shape == many.shape and few.dtype == many.dtype and np.array_equal(few, many, equal_nan=few.dtype.kind == "f")
