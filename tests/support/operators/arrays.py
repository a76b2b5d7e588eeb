"""Shapes and indices."""

import numpy as np

from tests.support.operators.cases import Source, cases
from tests.support.operators.check import Case


@cases("Reshape", count=3)
def reshape(source: Source) -> Case:
    target = source.one_of([0, -1], [-1, 12], [0, 4, 3], [0, 2, -1, 3], [2, 12])
    return Case("Reshape", [source.normal(2, 3, 4), np.array(target)], step=1.0)


@cases("Flatten", count=2)
def flatten(source: Source) -> Case:
    return Case("Flatten", [source.normal(2, 3, 4)], {"axis": source.one_of(1, -2)}, step=1.0)


@cases("Transpose", count=3)
def transpose(source: Source) -> Case:
    given = source.one_of({}, {"perm": [1, 2, 0]}, {"perm": [0, 2, 1]}, {"perm": [2, 0, 1]})
    return Case("Transpose", [source.normal(2, 3, 4)], given, step=1.0, rows=False)


@cases("Squeeze", count=2)
def squeeze(source: Source) -> Case:
    axes = source.one_of([np.array([1])], [np.array([1, -1])])
    return Case("Squeeze", [source.normal(2, 1, 3, 1), *axes], step=1.0)


@cases("Unsqueeze", count=2)
def unsqueeze(source: Source) -> Case:
    return Case("Unsqueeze", [source.normal(2, 3), np.array(source.one_of([1], [-1], [1, 3]))], step=1.0)


@cases("Concat", count=3)
def concat(source: Source) -> Case:
    parts = [source.normal(2, width, 3) for width in source.wholes(source.whole(1, 3), 1, 3)]
    return Case("Concat", parts, {"axis": source.one_of(1, -2)}, step=1.0, rows=False)


@cases("Split", count=4)
def split(source: Source) -> Case:
    x = source.normal(2, 6, 3)
    if source.whole(0, 1):
        return Case("Split", [x, np.array([1, 3, 2])], {"axis": source.one_of(1, -2)}, outputs=3, step=1.0)
    count = source.one_of(2, 3, 4)
    return Case("Split", [x], {"axis": 1, "num_outputs": count}, outputs=count, step=1.0)


@cases("Slice", count=7)
def cut(source: Source) -> Case:
    starts, ends, axes, steps = source.one_of(
        ([1], [3], [1], [1]), ([-1], [-9], [2], [-1]), ([0, 1], [5, 5], [1, 2], [2, 3]), ([4], [0], [1], [-2]),
        ([1], [2**62], [-1], [2]), ([-3], [-1], [1], [1]), ([3, -2], [0, 9], [2, 1], [-2, 1]),
    )  # fmt: skip
    return Case("Slice", [source.normal(2, 5, 5), *map(np.array, (starts, ends, axes, steps))], step=1.0)


@cases("Pad", count=5)
def pad(source: Source) -> Case:
    pads = source.one_of([0, 1, 2, 0, 0, 1], [0, 0, 1, 0, 2, 0], [0, -1, 1, 0, 0, -1])
    value = source.one_of([], [np.array(0.5, dtype=np.float32)])
    return Case("Pad", [source.normal(2, 3, 4), np.array(pads), *value], {}, frozenset({2}), step=1.0)


@cases("Expand", count=3)
def expand(source: Source) -> Case:
    return Case("Expand", [source.normal(*source.one_of((3, 1), (1,), (1, 3, 1))), np.array([2, 3, 4])], step=1.0, rows=False)


@cases("Tile", count=2)
def tile(source: Source) -> Case:
    return Case("Tile", [source.normal(2, 3, 2), np.array([1, *source.wholes(2, 1, 3)])], step=1.0)


@cases("Gather", count=6)
def gather(source: Source) -> Case:
    axis = source.whole(0, 2)
    indices = source.random.integers(-2, 2, size=source.one_of((), (3,), (2, 2)))
    return Case("Gather", [source.normal(3, 4, 2), np.array(indices)], {"axis": axis}, step=1.0, rows=False)


@cases("GatherElements", count=2)
def gather_elements(source: Source) -> Case:
    axis = source.whole(0, 1)
    return Case("GatherElements", [source.normal(3, 3), source.random.integers(0, 3, size=(2, 3))], {"axis": axis}, step=1.0, rows=False)


@cases("ScatterElements", count=4)
def scatter_elements(source: Source) -> Case:
    """Without a reduction, places are written once."""
    indices = np.stack([source.random.permutation(4)[:2] for _ in range(3)])
    inputs = [source.normal(3, 4), indices, source.normal(3, 2)]
    return Case("ScatterElements", inputs, {"axis": 1, "reduction": source.one_of("none", "add")}, step=1.0, rows=False)


@cases("ScatterND", count=4)
def scatter_nd(source: Source) -> Case:
    inputs = [source.normal(4, 3), source.random.permutation(4)[:2].reshape(2, 1), source.normal(2, 3)]
    return Case("ScatterND", inputs, {"reduction": source.one_of("none", "add")}, step=1.0, rows=False)


@cases("ScatterElements", "ScatterND", count=1)
def scatter_largest(source: Source, op_type: str) -> Case:
    indices = np.array([[0, 0, 0]]) if op_type == "ScatterElements" else np.array([[0]])
    return Case(op_type, [source.normal(2, 3), indices, source.normal(1, 3)], {"reduction": "max"}, rows=False, refused="reduction")


@cases("GatherND", count=1)
def gather_nd_by_rows(source: Source) -> Case:
    inputs = [source.normal(2, 3, 3), np.array([[[0]], [[1]]])]
    return Case("GatherND", inputs, {"batch_dims": 1}, rows=False, refused="batch_dims")


@cases("Slice", count=1)
def cut_rows(source: Source) -> Case:
    return Case("Slice", [source.normal(3, 2), np.array([1]), np.array([3]), np.array([0])], refused="batch axis")


@cases("Pad", count=1)
def pad_rows(source: Source) -> Case:
    return Case("Pad", [source.normal(3, 2), np.array([1, 0, 0, 0])], refused="batch axis")


@cases("GatherND", count=2)
def gather_nd(source: Source) -> Case:
    indices = source.random.integers(0, 3, size=source.one_of((4, 1), (4, 2), (2, 2, 3)))
    return Case("GatherND", [source.normal(3, 3, 3), indices], step=1.0, rows=False)


@cases("Trilu", count=2)
def triangle(source: Source) -> Case:
    return Case("Trilu", [source.normal(2, 3, 4)], {"upper": source.whole(0, 1)}, step=1.0)
