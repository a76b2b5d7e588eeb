"""The tool checks its own work: gradients against finite differences of the loss, through onnxruntime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime

from hushfleet.errors import LocalError, Refusal
from models.onnx.manifest import Parameter
from models.onnx.prepare.double import open_in_double
from models.onnx.prepare.graph import Array
from models.onnx.prepare.model import ancestors, reads, session
from models.onnx.prepare.samples import random_rows
from models.onnx.trainable import TrainableModel

ROWS, DIRECTIONS, ATTEMPTS = 16, 3, 4
DOUBLE, MIXED, SINGLE = "float64", "float64 and float32", "float32"

# What is allowed, and steps relative to a parameter's values: the fewer digits, the longer.
_TOLERANCES = {DOUBLE: 1e-4, MIXED: 1e-2, SINGLE: 3e-2}
_STEPS = {
    DOUBLE: (1e-5, 1e-6, 1e-4),
    MIXED: (1e-3, 3e-4, 3e-3, 1e-4, 3e-5, 1e-2),
    SINGLE: (1e-2, 3e-3, 3e-2, 1e-3),
}
_GOOD = 0.1  # of what is allowed: no further step is tried then


@dataclass(frozen=True, slots=True)
class Report:
    """Largest error by parameter, relative to the slope's natural size, and in what precision it was found."""

    errors: Mapping[str, float]
    precision: str

    @property
    def worst(self) -> float:
        """The largest error of all parameters."""
        return max(self.errors.values())

    @property
    def tolerance(self) -> float:
        """The greatest error allowed in this precision."""
        return _TOLERANCES[self.precision]

    @property
    def failed(self) -> list[str]:
        """The parameters whose error is above the tolerance."""
        return [name for name, error in self.errors.items() if not error <= self.tolerance]


def check_gradients(trainable: TrainableModel, *, seed: int = 0) -> Report:
    """Compare each parameter's gradient with central differences of the loss in random directions and along itself.

    Rows are random, parameters the initial ones, slightly moved so that none stands on a kink. In float64, apart
    from operators that onnxruntime has in float32 only. A parameter that fails is tried at other random points, as
    a unit may stand on a kink at one; a wrong derivative fails at all. `LocalError(MODEL_GRADIENT)` names the parameters that fail.
    """
    report = _compare(trainable, seed, trainable.manifest.parameters)
    for attempt in range(1, ATTEMPTS):
        if report.failed:
            again = [one for one in trainable.manifest.parameters if one.name in report.failed]
            report = replace(report, errors={**report.errors, **_compare(trainable, seed + attempt, again).errors})
    if report.failed:
        listed = ", ".join(f"{name!r} by {report.errors[name]:.2g}" for name in report.failed)
        message = f"gradients differ from finite differences of the loss (at most {report.tolerance:.0e} allowed): {listed}"
        raise LocalError(Refusal.MODEL_GRADIENT, message, next_step="This is a fault of the tool: please report it with the file.")
    return report


def _compare(trainable: TrainableModel, seed: int, parameters: Sequence[Parameter]) -> Report:
    runner = _Runner(trainable, seed)
    return Report({one.name: runner.error(one.input, one.gradient) for one in parameters}, runner.precision)


class _Runner:
    """`train.onnx` with one batch and one set of parameters."""

    def __init__(self, trainable: TrainableModel, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._manifest = trainable.manifest
        model = onnx.load_from_string(trainable.train)
        gradients_session, self.precision = _open(model)
        alone = _loss_alone(model, trainable.manifest.loss_output)
        self._session = session(alone) if self.precision == SINGLE else open_in_double(alone)[0]
        self._read = {value.name for value in self._session.get_inputs()}
        kind = np.float32 if self.precision == SINGLE else np.float64
        noise: Array = np.asarray(self._random.standard_normal(trainable.initial.size))
        moved: Array = trainable.initial.astype(np.float64) + 1e-2 * (float(np.abs(trainable.initial).mean()) + 1e-2) * noise
        parts = trainable.architecture.split(moved)
        self._fed: dict[str, Array] = {one.input: parts[one.name].astype(kind) for one in trainable.manifest.parameters}
        self._fed.update(random_rows(trainable.manifest, ROWS, self._random, kind))
        names = [one.gradient for one in trainable.manifest.parameters]
        loss, *gradients = gradients_session.run([trainable.manifest.loss_output, *names], self._fed)
        self._loss, self._gradients = float(loss), dict(zip(names, gradients, strict=True))

    def error(self, name: str, gradient: str) -> float:
        """The largest relative error over all directions; not a number if a gradient is not."""
        found = self._gradients[gradient].astype(np.float64)
        if found.shape != self._fed[name].shape:
            return float("inf")
        size = float(np.linalg.norm(found))
        if not np.isfinite(size):
            return float("nan")
        directions: list[Array] = [self._random.standard_normal(found.shape) for _ in range(DIRECTIONS)]
        if size > 0:
            directions.append(found / size * np.sqrt(found.size))
        return max(self._error_along(name, found, direction, size) for direction in directions)

    def _error_along(self, name: str, gradient: Array, direction: Array, size: float) -> float:
        """Over several steps the smallest error, relative to |g| or the slope: rounding spoils small steps, kinks large ones."""
        slope = float(np.vdot(gradient, direction))
        scale = float(np.abs(self._fed[name]).mean()) + 1e-2
        # below this the loss moves by less than its rounding, whatever the gradient
        floor = (1e-6 if self.precision == DOUBLE else 3e-3) * (abs(self._loss) + 0.1)
        size = max(size, abs(slope)) + floor  # along the gradient itself the slope is larger than |g|: the direction is longer than 1
        best, good = float("inf"), _GOOD * _TOLERANCES[self.precision]
        for step in _STEPS[self.precision]:
            best = min(best, abs(self._difference(name, direction, step * scale) - slope) / size)
            if best < good:
                break
        return best

    def _difference(self, name: str, direction: Array, step: float) -> float:
        at = self._fed[name]
        losses = []
        for side in (step, -step):
            fed = {one: value for one, value in self._fed.items() if one in self._read}
            fed[name] = (at + side * direction).astype(at.dtype)
            losses.append(float(self._session.run([self._manifest.loss_output], fed)[0]))
        return (losses[0] - losses[1]) / (2 * step)


def _loss_alone(model: onnx.ModelProto, loss: str) -> onnx.ModelProto:
    """The training graph without its gradients."""
    alone = onnx.ModelProto()
    alone.CopyFrom(model)
    del alone.graph.node[:], alone.graph.output[:]
    nodes = ancestors(model.graph.node, [loss])
    read = {name for node in nodes for name in reads(node)}
    alone.graph.node.extend(nodes)
    alone.graph.output.extend(value for value in model.graph.output if value.name == loss)
    for values in (alone.graph.input, alone.graph.initializer):
        kept = [value for value in values if value.name in read]
        del values[:]
        values.extend(kept)
    return alone


def _open(model: onnx.ModelProto) -> tuple[onnxruntime.InferenceSession, str]:
    try:
        opened, double = open_in_double(model)
    except Exception:  # noqa: BLE001 -- onnxruntime's kinds share no base; a file that is wrong itself fails in the next line too
        return session(model), SINGLE
    return opened, DOUBLE if double else MIXED
