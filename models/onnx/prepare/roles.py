"""The roles of stored tensors: parameters, shared or each for itself, or constants with the reason why they stay as they are."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from onnx import NodeProto, helper

from models.onnx.manifest import Frozen
from models.onnx.prepare.graph import Array, Graph
from models.onnx.prepare.refusals import Unsupported
from models.onnx.prepare.uses import Uses, is_spelled_out


@dataclass(frozen=True, slots=True)
class Choice:
    """Patterns of names: what to keep as it is, what alone to train, what to take apart and what to take as one."""

    freeze: Sequence[str] = ()
    train: Sequence[str] = ()
    untie: Sequence[str] = ()
    tie: Sequence[str] = ()


def untie(graph: Graph, patterns: Sequence[str] = ()) -> None:
    """Give each use of a stored tensor a copy of its own, `NAME`, `NAME.2`, ..., where its values are all equal or a pattern names it.

    Exporters store equal tensors once, and fresh normalisation scales and biases are equal; tied weights never are constant.
    """
    uses: Counter[str] = Counter()
    for node in graph.nodes:
        for index, name in enumerate(node.input):
            value = graph.initializers.get(name)
            if value is not None and value.dtype.kind == "f" and value.size > 1 and (_flat(value) or _named(name, patterns)):
                uses[name] += 1
                if uses[name] > 1:
                    copy = f"{name}.{uses[name]}"
                    graph.initializers[copy] = value.copy()
                    node.input[index] = copy
    _require_matches(patterns, uses, "is used by several layers")


def tie(graph: Graph, patterns: Sequence[str]) -> None:
    """Make one tensor of those that a pattern names and that hold the same values, also where one is the other transposed."""
    met: list[str] = []
    for pattern in patterns:
        names = [name for name, value in graph.initializers.items() if value.dtype.kind == "f" and fnmatchcase(name, pattern)]
        pairs = list(twins({name: graph.initializers[name] for name in names}))
        met += [pattern] if pairs else []
        for first, second in pairs:
            _replace(graph, second, first)
    _require_matches(patterns, met, "holds the same values as another")


def twins(values: Mapping[str, Array]) -> Iterator[tuple[str, str]]:
    """Pairs of a name and a later one whose values are the same, also where one is the other transposed. Flat ones do not count."""
    first: dict[bytes, str] = {}
    for name, value in values.items():
        if value.size < 2 or _flat(value):
            continue
        keys = [_key(value), *([_key(value.T)] if value.ndim == 2 else [])]
        known = next((first[key] for key in keys if key in first), None)
        if known is None:
            first[keys[0]] = name
        else:
            yield known, name


def choose(graph: Graph, uses: Uses, relevant: set[str], choice: Choice) -> list[Frozen]:
    """Set `graph.parameters`, in the file's order, and say what stays as it is and why.

    `relevant` are the values that the loss depends on. With `train`, only names that match one of its patterns are trained, and
    constants that it names in full; `freeze` wins over it. `Unsupported` if a pattern matches nothing or no parameter is left.
    """
    floats = {name: why for name, why in uses.reasons.items() if name in relevant}
    for name, why in floats.items():
        if not why and is_spelled_out(graph, name):
            floats[name] = "a part of a group normalisation spelled out"
        elif name in choice.train:
            floats[name] = ""
    candidates = [name for name, why in floats.items() if not why]
    for pattern in [*choice.freeze, *choice.train]:
        if not any(fnmatchcase(name, pattern) for name in candidates):
            raise Unsupported(f"the pattern {pattern!r} matches no trainable parameter", next_step=_listed(candidates, floats))
    for name in candidates:
        if _named(name, choice.freeze):
            floats[name] = "frozen by --freeze"
        elif choice.train and not _named(name, choice.train):
            floats[name] = "not named by --train"
    graph.parameters = [name for name, why in floats.items() if not why]
    if not graph.parameters:
        step = f"See `hushfleet model inspect` for what it holds, and why. {_listed([], floats)}"
        raise Unsupported("the model has no trainable parameter", next_step=step)
    return [Frozen(name, graph.initializers[name].shape, why) for name, why in floats.items() if why]


def _listed(candidates: Sequence[str], floats: Mapping[str, str]) -> str:
    others = [f"{name} ({why})" for name, why in floats.items() if name not in candidates]
    named = f" Constants, which --train NAME trains: {', '.join(others[:20])}." if others else ""
    return f"Trainable are: {', '.join(candidates) or 'none'}.{named}"


def _replace(graph: Graph, old: str, new: str) -> None:
    """Every reader of `old` reads `new`, transposed where the values say so."""
    value = graph.initializers.pop(old)
    name, made = new, None
    if value.shape != graph.initializers[new].shape or not np.array_equal(value, graph.initializers[new]):
        name, made = f"{old}/turned", helper.make_node("Transpose", [new], [f"{old}/turned"], name=f"{old}/turned", perm=[1, 0])
    for node in graph.nodes:
        rename_input(node, old, name)
    if made is not None:
        graph.nodes.insert(0, made)


def rename_input(node: NodeProto, old: str, new: str) -> None:
    """Let a node, and what its subgraphs read from outside, read `new` where it read `old`."""
    for index, name in enumerate(node.input):
        if name == old:
            node.input[index] = new
    for one in node.attribute:
        for graph in [one.g] if one.HasField("g") else one.graphs:
            for inner in graph.node:
                rename_input(inner, old, new)
            for output in graph.output:
                if output.name == old:
                    graph.node.append(helper.make_node("Identity", [new], [old], name=f"{node.name}/{old}"))


def _require_matches(patterns: Sequence[str], names: Sequence[str] | Counter[str], what: str) -> None:
    several = [name for name, count in names.items() if count > 1] if isinstance(names, Counter) else names
    for pattern in patterns:
        if pattern not in several and not any(fnmatchcase(name, pattern) for name in several):
            step = "See `hushfleet model inspect` for the stored tensors and their uses."
            raise Unsupported(f"the pattern {pattern!r} matches no stored tensor that {what}", next_step=step)


def _named(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _flat(value: Array) -> bool:
    return bool((value == value.flat[0]).all())


def _key(value: Array) -> bytes:
    return repr(value.shape).encode() + np.ascontiguousarray(value).tobytes()
