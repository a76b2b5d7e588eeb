"""Each derivative in the registry against differences of the operator's own values, over random attributes."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from onnx import TensorProto, helper

from hushfleet.errors import Refusal
from models.onnx.prepare.emitter import MOST_STORED, Emitter
from models.onnx.prepare.families import resize
from models.onnx.prepare.graph import Graph
from models.onnx.prepare.model import session, write
from models.onnx.prepare.refusals import Unsupported
from models.onnx.prepare.registry import Context, Derivative, derivative, load
from tests.support.operators.cases import collect
from tests.support.operators.check import Case, check
from tests.support.refusals import refused

DERIVATIVES = load()
CASES = [case for case in collect() if case.op_type in DERIVATIVES]
RIGHT = [case for case in CASES if not case.refused]


@pytest.mark.parametrize("case", RIGHT, ids=str)
def test_a_gradient_is_what_differences_say(case: Case) -> None:
    check(case, DERIVATIVES[case.op_type])


@pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=str)
def test_what_has_no_derivative_is_refused_by_name(case: Case) -> None:
    with pytest.raises(Unsupported, match=re.escape(case.refused)) as raised:
        check(case, DERIVATIVES[case.op_type])
    assert (raised.value.node, raised.value.operator) == (case.op_type, case.op_type)
    with refused(Refusal.MODEL_UNSUPPORTED, Unsupported):
        raise raised.value


@pytest.mark.parametrize("op_type", ["Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize"])
def test_spatial_sizes_that_vary_are_refused(op_type: str) -> None:
    case = next(case for case in RIGHT if case.op_type == op_type and case.inputs[0].ndim == 4)  # type: ignore[union-attr]

    def varying(context: Context) -> Sequence[str | None]:
        for name in (context.input(0), context.node.output[0]):
            context.graph.shapes[name] = (*context.graph.shapes[name][:3], "2*N")
        return DERIVATIVES[op_type](context)

    with pytest.raises(Unsupported, match="fixed") as raised:
        check(case, varying)
    with refused(Refusal.MODEL_UNSUPPORTED, Unsupported):
        raise raised.value


def test_every_operator_has_cases_and_there_are_enough() -> None:
    tried = Counter(case.op_type for case in RIGHT)
    assert set(tried) == set(DERIVATIVES)
    assert len(RIGHT) >= 150


def _wrong(right: Derivative, factor: float) -> Derivative:
    def wrong(context: Context) -> Sequence[str | None]:
        scale = context.number(factor)
        return [name if name is None else context.emit.mul(name, scale) for name in right(context)]

    return wrong


@pytest.mark.parametrize("op_type", ["Conv", "MaxPool", "LayerNormalization", "Softplus", "InstanceNormalization"])
def test_the_check_fails_on_a_derivative_that_is_off_by_a_little(op_type: str) -> None:
    case = next(case for case in RIGHT if case.op_type == op_type)
    check(case, _wrong(DERIVATIVES[op_type], 1.0))
    with pytest.raises(AssertionError, match="is off by"):
        check(case, _wrong(DERIVATIVES[op_type], 1.001))


def test_the_check_fails_on_a_gradient_that_is_missing() -> None:
    case = next(case for case in RIGHT if case.op_type == "Conv")
    with pytest.raises(AssertionError, match="no gradient for input 0"):
        check(case, lambda context: [None] * len(context.node.input))


def test_the_check_fails_on_a_gradient_of_another_shape() -> None:
    case = next(case for case in RIGHT if case.op_type == "Softplus")
    with pytest.raises(AssertionError, match="of shape"):
        check(case, lambda context: [context.emit.reduce_sum(context.grad, [1], keepdims=True)])


def test_an_operator_has_one_derivative() -> None:
    with pytest.raises(ValueError, match="Conv has a derivative already"):
        derivative("Conv")(DERIVATIVES["Conv"])


def test_dropout_in_training_passes_what_its_own_mask_says() -> None:
    x, ratio = np.ones((4, 50), np.float32), np.array(0.25, np.float32)
    node = helper.make_node("Dropout", ["x", "ratio", "training"], ["y"])
    stored = {"x": x, "ratio": ratio, "training": np.array(True)}
    float32 = np.dtype(np.float32)
    graph = Graph([node], [], [], {}, shapes={"x": x.shape, "y": x.shape}, dtypes={"x": float32, "y": float32}, constants=stored)
    context = Context(node, ["up"], graph, Emitter(graph), frozenset({"x"}))
    slope, *others = DERIVATIVES["Dropout"](context)
    up = helper.make_tensor_value_info("up", TensorProto.FLOAT, x.shape)
    results = [helper.make_empty_tensor_value_info(str(name)) for name in ("y", slope)]
    model = write("dropout", [node, *context.emit.nodes], [up], results, {**stored, **context.emit.constants})
    y, slopes = session(model).run(None, {"up": 2 * x})
    assert others == [None, None]
    assert 0 < (y == 0).sum() < y.size
    np.testing.assert_allclose(slopes, 2 * y, rtol=1e-6)


@pytest.mark.parametrize("case", [case for case in RIGHT if case.op_type == "Resize"][::3], ids=str)
def test_resize_tap_by_tap_is_the_same(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resize, "SMALL", 0)
    check(case, DERIVATIVES["Resize"])


@pytest.mark.parametrize("op_type", ["Pad", "Resize"])
def test_no_table_grows_with_the_square_of_a_long_axis(op_type: str) -> None:
    size = 200_000
    x = np.ones((1, 1, 1, size), np.float32)
    second = np.array([0, 0, 0, 3, 0, 0, 0, 3]) if op_type == "Pad" else None
    given = {"mode": "reflect"} if op_type == "Pad" else {"mode": "linear"}
    case = Case(op_type, [x, second] if op_type == "Pad" else [x, None, None, np.array([1, 1, 1, 2 * size])], given, rows=False)
    y_size = size + 6 if op_type == "Pad" else 2 * size
    node = helper.make_node(op_type, ["x", *["" if one is None else f"c{i}" for i, one in enumerate(case.inputs[1:])]], ["y"], **given)
    graph = Graph([node], [], [], {}, shapes={"x": x.shape, "y": (1, 1, 1, y_size)}, dtypes=dict.fromkeys("xy", np.dtype(np.float32)))
    graph.constants |= {f"c{i}": one for i, one in enumerate(case.inputs[1:]) if one is not None}
    context = Context(node, ["up"], graph, Emitter(graph), frozenset({"x"}))
    DERIVATIVES[op_type](context)
    assert sum(one.nbytes for one in context.emit.constants.values()) < 100 * size


def test_a_table_that_is_too_large_is_refused_before_it_is_written() -> None:
    with refused(Refusal.MODEL_UNSUPPORTED, Unsupported):
        Emitter(Graph([], [], [], {})).constant(np.zeros(MOST_STORED + 1, np.int8))
