"""Random nets, from operators strung together at random: what `prepare` accepts has the gradients that finite differences say."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto

from models.onnx.prepare import prepare
from tests.support.onnx_files import ROWS, model, node, saved, value

WIDTH = 4  # every value is (rows, WIDTH): whatever follows fits
ALONE = ("Tanh", "Sigmoid", "Softplus", "Sin", "Erf", "Relu", "Softmax", "LogSoftmax", "Neg", "Identity")
PAIRS = ("Add", "Sub", "Mul", "Max", "Min")
STEPS = ("MatMul", "Gemm", "bias", "scale", "normalise", "turn", "halves", "pad", "centre", "gather", *ALONE, *PAIRS)


class Net:
    """Grows a graph; `values` are all (rows, WIDTH) so far."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.stored: dict[str, np.ndarray] = {}
        self.values = ["x"]

    def name(self) -> str:
        return f"v{len(self.nodes)}"

    def keep(self, *shape: int) -> str:
        self.stored[f"p{len(self.stored)}"] = (0.5 * self.random.standard_normal(shape)).astype(np.float32)
        return f"p{len(self.stored) - 1}"

    def whole(self, *numbers: int) -> str:
        self.stored[f"i{len(self.stored)}"] = np.array(numbers, dtype=np.int64)
        return f"i{len(self.stored) - 1}"

    def put(self, op_type: str, inputs: str, outputs: int = 1, **attributes: object) -> list[str]:
        made = [f"{self.name()}-{i}" for i in range(outputs)]
        self.nodes.append(node(op_type, inputs, " ".join(made), **attributes))
        return made

    def step(self, kind: str, first: str, second: str) -> str:
        """The new value's name."""
        if kind in ALONE:
            return self.put(kind, first)[0]
        if kind in PAIRS:
            return self.put(kind, f"{first} {second}")[0]
        return getattr(self, f"_{kind.lower()}")(first)

    def _matmul(self, x: str) -> str:
        return self.put("MatMul", f"{x} {self.keep(WIDTH, WIDTH)}")[0]

    def _gemm(self, x: str) -> str:
        return self.put("Gemm", f"{x} {self.keep(WIDTH, WIDTH)} {self.keep(WIDTH)}", transB=1, alpha=0.5, beta=2.0)[0]

    def _bias(self, x: str) -> str:
        return self.put("Add", f"{self.keep(1, WIDTH)} {x}")[0]

    def _scale(self, x: str) -> str:
        return self.put("Mul", f"{x} {self.keep(WIDTH)}")[0]

    def _normalise(self, x: str) -> str:
        return self.put("LayerNormalization", f"{x} {self.keep(WIDTH)} {self.keep(WIDTH)}", epsilon=0.1)[0]

    def _turn(self, x: str) -> str:
        (turned,) = self.put("Transpose", x, perm=[1, 0])
        (mixed,) = self.put("MatMul", f"{self.keep(WIDTH, WIDTH)} {turned}")
        return self.put("Transpose", mixed, perm=[1, 0])[0]

    def _halves(self, x: str) -> str:
        left, right = self.put("Split", f"{x} {self.whole(1, WIDTH - 1)}", 2, axis=1)
        return self.put("Concat", f"{right} {left}", axis=-1)[0]

    def _pad(self, x: str) -> str:
        (wide,) = self.put("Pad", f"{x} {self.whole(0, 2, 0, 1)}")
        return self.put("Slice", f"{wide} {self.whole(1)} {self.whole(1 + WIDTH)} {self.whole(1)}")[0]

    def _centre(self, x: str) -> str:
        (mean,) = self.put("ReduceMean", f"{x} {self.whole(-1)}", keepdims=1)
        return self.put("Sub", f"{x} {mean}")[0]

    def _gather(self, x: str) -> str:
        return self.put("Gather", f"{x} {self.whole(2, 0, 2, 1)}", axis=1)[0]

    def file(self) -> ModelProto:
        """A last layer sums everything up, so that nothing is left out."""
        (total,) = self.put("Sum", " ".join(self.values))
        self.nodes.append(node("MatMul", f"{total} {self.keep(WIDTH, 3)}", "z"))
        return model(self.nodes, [value("x", ROWS, WIDTH)], [value("z", ROWS, 3)], self.stored)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=9),
    st.sampled_from(["softmax-cross-entropy", "mse", "huber", "binary-cross-entropy"]),
    st.integers(0, 2**31),
)
@example([("Gemm", 0, 0), ("Neg", 1, 0)], "binary-cross-entropy", 0)  # cancels: every gradient is zero
def test_random_nets_train_as_finite_differences_say(steps: list[tuple[str, int, int]], loss: str, seed: int):
    net = Net(seed)
    for kind, first, second in steps:
        net.values.append(net.step(kind, net.values[first % len(net.values)], net.values[second % len(net.values)]))
    file = net.file()
    parameters = sorted(name for name, one in net.stored.items() if one.dtype == np.float32)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        bundle = prepare(saved(Path(folder), file), loss=loss, train=parameters, checked=found.append)
    assert sorted(one.name for one in bundle.manifest.parameters) == parameters
    assert found[0].worst <= found[0].tolerance
