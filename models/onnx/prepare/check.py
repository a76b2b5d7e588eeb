"""The tool checks its own work: gradients against finite differences of the loss, through onnxruntime.

The gradients are those that a device computes, in float32. The loss is differenced in float64 wherever that can be had: operators
that onnxruntime has in float32 only are spelled out in arithmetic, and the few that are left run in float32 between casts. All
parameters are moved at once, each so far that it moves the loss by about as much as any other: an error in one shows as an error of the
same share of its own slope. Only where that fails are they moved in halves, down to one, which is then tried by itself.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from time import process_time

import numpy as np
import onnx
import onnxruntime

from hushfleet.errors import LocalError, Refusal
from models.onnx.manifest import Parameter
from models.onnx.prepare.double import open_in_double
from models.onnx.prepare.forward import check_loss
from models.onnx.prepare.graph import Array
from models.onnx.prepare.model import ancestors, reads, session
from models.onnx.prepare.samples import random_rows
from models.onnx.trainable import TrainableModel

ROWS, FEWEST, DIRECTIONS, ATTEMPTS = 16, 2, 3, 4
DOUBLE, MIXED, SINGLE = "float64", "float64 and float32", "float32"
QUICK_S = 20
"""CPU seconds of a quick check: what it decides does not hang on what else the machine does."""
MOST_BYTES = 200 << 20
"""The most that all values of a forward pass together may take: large nets are checked with fewer rows."""

# The greatest error of one parameter, and steps relative to its values: the fewer digits, the longer.
_TOLERANCES = {DOUBLE: 2e-4, MIXED: 3e-3, SINGLE: 3e-2}
_STEPS = {
    DOUBLE: (1e-5, 1e-6, 1e-4),
    MIXED: (1e-3, 3e-4, 3e-3, 1e-4, 3e-5, 1e-2),
    SINGLE: (1e-2, 3e-3, 3e-2, 1e-3),
}
_JOINT_STEPS = {**_STEPS, DOUBLE: (1e-7, 1e-8, 1e-9, 1e-6)}  # of many parameters at once, which together reach more kinks
_GOOD = 0.1  # of what is allowed: no further step is tried then
_LEAST = {DOUBLE: -6, MIXED: -2, SINGLE: -2}  # the decade below which the loss moves by less than its rounding
_REACH = 1e3  # times its own size that a parameter may be moved, per unit of the step


@dataclass(frozen=True, slots=True)
class Report:
    """Largest error by parameter, relative to the slope's natural size, and in what precision and with how many rows it was found.

    Parameters that were moved together share the error of their joint direction. `left_out`: those that hardly move the loss and that
    a quick check had no time for.
    """

    errors: Mapping[str, float]
    precision: str
    rows: int = ROWS
    left_out: Sequence[str] = ()

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


def check_gradients(
    trainable: TrainableModel, *, seed: int = 0, full: bool = False, progress: Callable[[str], None] = lambda _: None
) -> Report:
    """Compare gradients with central differences of the loss in random directions and along themselves.

    Rows are random, parameters the initial ones, slightly moved so that none stands on a kink. With `full`, every parameter is moved
    by itself. One that fails is tried at other random points, as a unit may stand on a kink at one; a wrong derivative fails at
    all. `LocalError(MODEL_GRADIENT)` names the parameters that fail.
    """
    left: Sequence[Parameter] = trainable.manifest.parameters
    deadline = math.inf if full else process_time() + QUICK_S
    errors: dict[str, float] = {}
    for attempt in range(ATTEMPTS):
        runner = _Runner(trainable, seed + attempt, deadline)
        progress(f"comparing {len(left)} gradients with differences in {runner.precision}, {runner.rows} rows")
        errors.update(_alone(runner, left, progress) if full else _jointly(runner, left))
        known = {one.name: errors[one.name] for one in trainable.manifest.parameters if one.name in errors}
        missing = [one.name for one in trainable.manifest.parameters if one.name not in errors]
        report = Report(known, runner.precision, runner.rows, missing)
        left = [one for one in trainable.manifest.parameters if one.name in report.failed]
        if not left:
            return report
        if process_time() > deadline:
            message = f"{len(left)} gradients could not be told from finite differences of the loss in {QUICK_S} s"
            raise LocalError(Refusal.MODEL_GRADIENT, message, next_step="Take the time that it needs: --check full.")
    listed = ", ".join(f"{name!r} by {report.errors[name]:.2g}" for name in report.failed)
    message = f"gradients differ from finite differences of the loss (at most {report.tolerance:.0e} allowed): {listed}"
    raise LocalError(Refusal.MODEL_GRADIENT, message, next_step="This is a fault of the tool: please report it with the file.")


def _alone(runner: "_Runner", parameters: Sequence[Parameter], progress: Callable[[str], None]) -> dict[str, float]:
    found = {}
    for number, one in enumerate(parameters, start=1):
        found[one.name] = runner.error(one)
        if number % 10 == 0:
            progress(f"{number} of {len(parameters)}")
    return found


def _jointly(runner: "_Runner", parameters: Sequence[Parameter]) -> dict[str, float]:
    """The error of all together, those that move the loss by about as much; where it is too large, of each half; at last of one alone."""
    found: dict[str, float] = {}
    for decade, group in groupby(sorted(parameters, key=runner.decade, reverse=True), key=runner.decade):
        members = list(group)
        if runner.is_late and found:
            break  # what is left hardly moves the loss
        error = runner.joint_error(members, decade)
        if error <= runner.tolerance:
            found |= {one.name: error for one in members}
        elif runner.is_late:
            found |= dict.fromkeys((one.name for one in members), error)
        elif len(members) == 1:
            found[members[0].name] = runner.error(members[0])
        else:
            half = math.ceil(len(members) / 2)
            found |= _jointly(runner, members[:half]) | _jointly(runner, members[half:])
    return found


class _Runner:
    """`train.onnx` with one batch and one set of parameters."""

    def __init__(self, trainable: TrainableModel, seed: int, deadline: float) -> None:
        self._deadline = deadline
        self._random = np.random.default_rng(seed)
        self._manifest = trainable.manifest
        model = onnx.load_from_string(trainable.train)
        alone = _loss_alone(model, trainable.manifest.loss_output)
        self._session, self.precision = _open(alone, [one.input for one in trainable.manifest.parameters])
        self.rows = _rows(alone)
        self._directions = DIRECTIONS if self.rows == ROWS else 1
        self.tolerance = _TOLERANCES[self.precision]
        parts = {name: self._near(value) for name, value in trainable.architecture.split(trainable.initial).items()}
        fed: dict[str, Array] = {one.input: parts[one.name].astype(np.float32) for one in trainable.manifest.parameters}
        fed.update(random_rows(trainable.manifest, self.rows, self._random))
        names = [one.gradient for one in trainable.manifest.parameters]
        loss, *gradients = session(model).run([trainable.manifest.loss_output, *names], fed)
        self._loss = float(loss)
        check_loss(trainable, np.concatenate([one.reshape(-1) for one in parts.values()]), fed, self._loss)
        self._gradients = {name: one.astype(np.float64) for name, one in zip(names, gradients, strict=True)}
        read = {value.name: value.type for value in self._session.get_inputs()}
        self._fed = {name: one.astype(np.float64) if read[name] == "tensor(double)" else one for name, one in fed.items() if name in read}

    @property
    def is_late(self) -> bool:
        """True if the time of a quick check is over."""
        return process_time() > self._deadline

    def decade(self, one: Parameter) -> int:
        """The power of ten by which a parameter can move the loss without being moved far: 0 for as much as any other, -1 for a tenth."""
        moved = self._unit(one) * self._size(one)
        return max(int(np.floor(np.log10(moved) + 0.01)), _LEAST[self.precision]) if moved > 0 else _LEAST[self.precision]

    def joint_error(self, parameters: Sequence[Parameter], decade: int) -> float:
        """The largest error in random directions of all these parameters, as a share of what one of this decade moves."""
        largest = 0.0
        for _ in range(self._directions):
            directions = {one.input: self._unit(one) * (self._sign() * self._along(one) + self._across(one)) for one in parameters}
            slope = sum(float(np.vdot(self._gradients[one.gradient], directions[one.input])) for one in parameters)
            if not math.isfinite(slope):
                return float("nan")
            largest = max(largest, self._best(directions, slope, [(step, 10.0**decade) for step in _JOINT_STEPS[self.precision]]))
        return largest

    def error(self, one: Parameter) -> float:
        """The largest relative error over all directions of one parameter; not a number if its gradient is not."""
        found, size = self._gradients[one.gradient], self._size(one)
        if found.shape != self._fed[one.input].shape:
            return float("inf")
        if not np.isfinite(size):
            return float("nan")
        directions: list[Array] = [self._random.standard_normal(found.shape) for _ in range(DIRECTIONS)]
        if size > 0:
            directions.append(found / size * np.sqrt(found.size))
        return max(self._error_along(one, direction) for direction in directions)

    def _error_along(self, one: Parameter, direction: Array) -> float:
        """Relative to |g| or the slope; rounding spoils small steps, kinks large ones."""
        slope = float(np.vdot(self._gradients[one.gradient], direction))
        # below this the loss moves by less than its rounding, whatever the gradient
        floor = (1e-6 if self.precision == DOUBLE else 3e-3) * (abs(self._loss) + 0.1)
        size = max(self._size(one), abs(slope)) + floor  # along the gradient itself the slope is larger than |g|
        return self._best({one.input: direction}, slope, [(step * self._scale(one), size) for step in _STEPS[self.precision]])

    def _best(self, directions: Mapping[str, Array], slope: float, steps: Sequence[tuple[float, float]]) -> float:
        """Over several steps the smallest error, each divided by its size."""
        best = float("inf")
        for step, size in steps:
            best = min(best, abs(self._difference(directions, step) - slope) / size)
            if self.is_late or best < self.tolerance * (_GOOD if self.rows == ROWS else 1.0):
                break
        return best

    def _difference(self, directions: Mapping[str, Array], step: float) -> float:
        losses = []
        for side in (step, -step):
            moved = {name: (self._fed[name] + side * one).astype(self._fed[name].dtype) for name, one in directions.items()}
            losses.append(float(self._session.run([self._manifest.loss_output], {**self._fed, **moved})[0]))
        return (losses[0] - losses[1]) / (2 * step)

    def _sign(self) -> float:
        """Up or down, so that what bends the loss adds up over many parameters as little as it can."""
        return 1.0 if self._random.random() < 0.5 else -1.0

    def _near(self, value: Array) -> Array:
        """A parameter slightly moved, so that no unit stands on a kink."""
        return np.asarray(value + 1e-2 * (float(np.abs(value).mean()) + 1e-3) * self._random.standard_normal(value.shape))

    def _size(self, one: Parameter) -> float:
        return float(np.linalg.norm(self._gradients[one.gradient]))

    def _unit(self, one: Parameter) -> float:
        """The distance along its gradient that a parameter is moved: so that it moves the loss by one, or as far as it reaches."""
        return min(1.0 / max(self._size(one), 1e-30), _REACH * self._scale(one) * math.sqrt(one.size))

    def _scale(self, one: Parameter) -> float:
        return float(np.abs(self._fed[one.input]).mean()) + 1e-2

    def _along(self, one: Parameter) -> Array:
        return np.asarray(self._gradients[one.gradient] / max(self._size(one), 1e-30))

    def _across(self, one: Parameter) -> Array:
        direction: Array = self._random.standard_normal(one.shape)
        return direction / max(float(np.linalg.norm(direction)), 1e-12)


def _rows(model: onnx.ModelProto) -> int:
    """As many rows as fit into `MOST_BYTES`, from 2 to 16."""
    values = onnx.shape_inference.infer_shapes(model).graph.value_info
    total = sum(math.prod(int(dim.dim_value) or 1 for dim in value.type.tensor_type.shape.dim) for value in values)
    return max(FEWEST, min(ROWS, MOST_BYTES // (8 * max(1, total))))


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


def _open(model: onnx.ModelProto, parameters: Sequence[str]) -> tuple[onnxruntime.InferenceSession, str]:
    try:
        opened, double = open_in_double(model, parameters)
    except Exception:  # noqa: BLE001 -- onnxruntime's kinds share no base; a file that is wrong itself fails in the next line too
        return session(model), SINGLE
    return opened, DOUBLE if double else MIXED
