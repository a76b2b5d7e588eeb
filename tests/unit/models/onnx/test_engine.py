"""The reverse pass with operators that do not exist, and the registry."""

import ast
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from hushfleet.errors import Refusal
from models.onnx.prepare import engine, registry
from models.onnx.prepare.emitter import Emitter
from models.onnx.prepare.engine import differentiate
from models.onnx.prepare.graph import Graph
from models.onnx.prepare.refusals import Unsupported
from models.onnx.prepare.registry import Context, derivative
from tests.support.refusals import refused


def graph(*nodes: tuple[str, str, str]) -> Graph:
    made = [helper.make_node(op_type, inputs.split(), outputs.split(), name=outputs) for op_type, inputs, outputs in nodes]
    values = {"x", "w", *(name for node in made for name in [*node.input, *node.output])}
    shapes, types = dict.fromkeys(values, (2,)), dict.fromkeys(values, np.dtype(np.float32))
    return Graph(made, ["x"], ["z"], {"w": np.ones(2, np.float32)}, ["w"], shapes, types)


def back(made: Graph, **rules: object) -> tuple[dict[str, str], Emitter]:
    emit = Emitter(made)
    return differentiate(made, made.nodes, {"z": "dz"}, emit, rules), emit


def test_gradients_of_a_value_read_twice_are_added_once():
    made = graph(("F", "x w", "a"), ("G", "a a", "z"))
    found, emit = back(made, F=lambda at: [None, f"F({at.grad})"], G=lambda at: [f"l({at.grad})", f"r({at.grad})"])
    (total,) = emit.nodes
    assert (total.op_type, list(total.input)) == ("Sum", ["l(dz)", "r(dz)"])
    assert found == {"w": f"F({total.output[0]})"}


def test_values_that_no_parameter_reaches_get_no_gradient():
    asked = []
    made = graph(("F", "x", "a"), ("G", "a w", "z"))
    found, _ = back(made, G=lambda at: asked.append(sorted(at.wanted)) or ["unused", "dw"])
    assert found == {"w": "dw"}
    assert asked == [["w"]]


def test_an_operator_without_a_derivative_is_named():
    with refused(Refusal.MODEL_UNSUPPORTED, Unsupported):
        back(graph(("F", "x w", "z")))


def test_a_missing_gradient_is_never_taken_for_zero():
    with refused(Refusal.MODEL_UNSUPPORTED, Unsupported):
        back(graph(("F", "x w", "z")), F=lambda _: [None, None])


def test_a_derivative_gives_one_gradient_per_input():
    with pytest.raises(AssertionError, match="1 gradients for 2 inputs"):
        back(graph(("F", "x w", "z")), F=lambda _: ["dx"])


def test_a_secondary_output_alone_is_refused():
    made = graph(("F", "w", "y z"))
    with refused(Refusal.MODEL_UNSUPPORTED, Unsupported):
        back(made, F=lambda at: [at.grad])
    found, _ = back(made, F=lambda at: [at.outputs_grads[1]])
    assert found == {"w": "dz"}


def test_an_operator_has_one_derivative():
    registry.load()
    with pytest.raises(ValueError, match="Add has a derivative already"):
        derivative("Add")(lambda at: [at.grad])


def test_a_derivative_may_ask_for_a_further_output_of_its_node():
    made = graph(("F", "w", "z"))
    names = []

    def rule(at: Context) -> list[str | None]:
        names.append(at.output(2))
        return [at.grad]

    back(made, F=rule)
    assert list(made.nodes[0].output) == ["z", "", names[0]]


def test_the_engine_knows_no_operator():
    tree = ast.parse(Path(engine.__file__).read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert texts & set(registry.load()) == {"Sum"}  # what adds gradients up
