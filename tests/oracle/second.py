"""onnx-ad as a second oracle: `python -m tests.oracle.second`, run by `make oracle`.

It differentiates the stored files by rules of its own, from the logits' slope that torch gives. Every gradient that it can work out must
be the stored one; files that it cannot compare are named, with the reason. Exit code 1 if a gradient differs.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import torch
from onnx_ad import UnsupportedOperator, reverse

from tests.oracle.gradients import LOSSES
from tests.oracle.make_zoo import GOLDEN

CLOSE = 1e-4
_ENDS = {"Softmax", "Sigmoid"}  # the loss takes what comes before them


class NotComparedError(Exception):
    """Why a file is left to the first oracle."""


def parameters(model: onnx.ModelProto) -> list[str]:
    """Make the stored float tensors inputs, with their values as defaults, and give their names."""
    stored = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    known = {value.name for value in model.graph.input}
    for tensor in stored:
        if tensor.name not in known:
            model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return [tensor.name for tensor in stored]


def gradients(model: onnx.ModelProto, output: str, stored, loss: str):
    """Name, value and gradient of each stored tensor."""
    rows, values = len(stored["features"]), {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    fed = next(value.name for value in model.graph.input if value.name not in values)
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if not dim.dim_value:
                dim.dim_value = rows  # onnx-ad wants every size
    names = parameters(model)
    feed = {fed: stored["features"]} | {name: values[name] for name in names}
    (logits,) = session(model).run([output], feed)
    raw = torch.tensor(logits, requires_grad=True)
    LOSSES[loss](raw, torch.tensor(stored["targets"])).backward()
    adjoint = reverse(model, inputs=names, outputs=[output], layout="onnx")
    found = session(adjoint).run([f"adj_{name}" for name in names], feed | {f"adj_{output}": raw.grad.numpy()[..., None]})
    return [(name, values[name], gradient[..., 0]) for name, gradient in zip(names, found, strict=True)]


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session that only reports errors."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def compare(name: str, entry: dict[str, object]) -> float:
    """The largest error over all parameters, relative to the largest gradient of each."""
    model, stored = onnx.load(GOLDEN / f"{name}.onnx"), np.load(GOLDEN / entry["answers"])
    output = entry["logits"] or model.graph.output[0].name
    if output == "label" or any(node.op_type in _ENDS and output in node.output for node in model.graph.node):
        raise NotComparedError("it ends in labels or probabilities, not in logits")
    if not model.graph.initializer:
        raise NotComparedError("its weights are no stored tensors")
    theirs = {}
    for key in stored:
        if key.startswith("value:"):
            theirs.setdefault(np.sort(stored[key], axis=None).tobytes(), []).append(key.removeprefix("value:"))
    worst = []
    for _, value, gradient in gradients(model, output, stored, entry["loss"]):
        same = theirs.get(np.sort(value, axis=None).tobytes(), [])
        if len(same) == 1:  # values tell which element is which, whatever the order that the exporter chose
            wanted, order = stored[f"gradient:{same[0]}"], np.argsort(stored[f"value:{same[0]}"], axis=None)
            difference = gradient.ravel()[np.argsort(value, axis=None)] - wanted.ravel()[order]
            worst.append(float(np.abs(difference).max() / np.abs(wanted).max()))
    return max(worst)


def main() -> int:
    """Print a line per file and return the exit code."""
    zoo, failed = json.loads((GOLDEN / "zoo.json").read_text()), False
    for name, entry in zoo.items():
        if entry["refused"]:
            continue
        try:
            worst = compare(name, entry)
        except (UnsupportedOperator, NotComparedError) as error:
            word = f"not compared: {error}"
        else:
            failed |= not worst < CLOSE
            word = f"largest error {worst:.1e}"
        print(f"{name}: {word}")  # noqa: T201 -- a program that talks
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
