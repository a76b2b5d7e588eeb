"""A mutable view of one ONNX graph in which every value has a known type and shape."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

Array = npt.NDArray[Any]
Shape = tuple[int | str, ...]

BATCH = "N"


@dataclass
class Graph:
    """Nodes in running order, and what is known of each value.

    A size in a shape is an int, or a text where it follows the number of rows: "N" (the batch axis itself), "4*N", "2*N+1".
    `inputs` are the fed values and `outputs` the results, in the file's order. `initializers` are the stored tensors;
    `parameters` names those among them that are to be trained. `constants` are values that no parameter, no input and no
    number of rows can change.
    """

    nodes: list[NodeProto]
    inputs: list[str]
    outputs: list[str]
    initializers: dict[str, Array]
    parameters: list[str] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    dtypes: dict[str, np.dtype[Any]] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)

    def shape(self, name: str) -> Shape:
        """Sizes of a value of the forward graph. KeyError for an unknown name."""
        return self.shapes[name]

    def rank(self, name: str) -> int:
        """The number of axes of a value."""
        return len(self.shapes[name])

    def dtype(self, name: str) -> np.dtype[Any]:
        """Element type of a value of the forward graph."""
        return self.dtypes[name]

    def is_float(self, name: str) -> bool:
        """True if gradients can flow through this value."""
        return self.dtypes[name].kind == "f"

    def constant(self, name: str) -> Array | None:
        """The value if it is always the same, else None (and None for "" and for a parameter)."""
        return self.constants.get(name)


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:  # noqa: ANN401 -- attributes are of any kind
    """An attribute as int, float, str, list, or TensorProto; `default` where the node has none."""
    for one in node.attribute:
        if one.name == name:
            value = helper.get_attribute_value(one)
            return value.decode() if isinstance(value, bytes) else value
    return default
