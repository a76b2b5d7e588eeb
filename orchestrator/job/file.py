"""`job.toml`: a training job in the words of the person who runs it."""

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from hushfleet.documents import LocalTraining, OptimizerSettings
from hushfleet.documents.limits import MAX_COHORT
from hushfleet.documents.plan import SELECT_ALL
from hushfleet.errors import PeerError
from hushfleet.ids import parse_id
from hushfleet.labels import length_prefixed, sha256
from hushfleet.program.settings import parse_settings, text_of
from hushfleet.rounds.planning import Job
from hushfleet.rounds.tasks.train import Approval, TrainingTask, approve_all
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.training import Architecture
from hushfleet.typed import typed
from models import catalogue

AUTO = "auto"
"""The scheme of a job that leaves the choice to the program."""

_ONNX = re.compile(r"""(?m)^(\s*onnx\s*=\s*)("[^"\n]*"|'[^'\n]*')""")

_AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]
_NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e300)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]


class JobTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The job's name, and the number of rounds that it is to release."""

    name: str
    rounds: _AtLeastOne

    def __post_init__(self) -> None:
        try:
            parse_id(self.name)
        except PeerError as error:
            raise ValueError(f"name: {error.message}") from error


class ModelTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name` is a family with `inputs`, `hidden` and `outputs`, or a full name of the catalogue, such as `mlp:64x32x10:tanh`.

    With `contract`, a data contract's file, the family takes its inputs and outputs from it.
    Instead of it all, `onnx` is a trainable model: a folder that `hushfleet model prepare` made.
    """

    name: _Text | None = None
    inputs: _AtLeastOne | None = None
    hidden: tuple[_AtLeastOne, ...] = ()
    outputs: _AtLeastOne | None = None
    activation: _Text | None = None
    loss: _Text | None = None
    onnx: Path | None = None
    contract: Path | None = None

    def __post_init__(self) -> None:
        parts = (self.inputs, self.outputs, *self.hidden, self.activation, self.loss)
        if self.onnx is not None:
            if any(part is not None for part in (self.name, *parts)):
                raise ValueError("onnx says everything itself: remove the other keys")
            if not catalogue.is_trainable(self.onnx.name):
                raise ValueError("onnx: expected a folder whose name ends in .trainable, as `hushfleet model prepare` makes it")
            return
        if self.name is None:
            raise ValueError('name is missing: write name = "softmax", inputs and outputs, or onnx = "net.trainable"')
        if self.contract is not None:
            if ":" in self.name or self.inputs or self.outputs:
                raise ValueError("the contract says inputs and outputs: write the family's name, and hidden where it has hidden layers")
            return
        if ":" in self.name and any(part is not None for part in parts):
            raise ValueError(f"{self.name} says its sizes itself: remove the other keys")
        if ":" not in self.name and None in (self.inputs, self.outputs):
            raise ValueError("inputs and outputs are needed")

    @property
    def full_name(self) -> str:
        """As the catalogue takes it."""
        if self.onnx is not None:
            return str(self.onnx)
        if self.contract is not None:
            hidden = "x".join(map(str, self.hidden))
            return ":".join(part for part in (f"{self.name}@{self.contract}", hidden, self.activation, self.loss) if part)
        if self.name is None or ":" in self.name:
            return self.name or ""
        sizes = "x".join(str(size) for size in (self.inputs, *self.hidden, self.outputs))
        return ":".join(part for part in (self.name, sizes, self.activation, self.loss) if part)


class TrainingTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The training on each device."""

    local_steps: _AtLeastOne
    batch_size: _AtLeastOne
    learning_rate: _Positive
    proximal: _NotNegative = 0.0
    optimizer: Literal["sgd", "momentum", "adam"] = "sgd"
    momentum: _Fraction | None = None
    beta1: _Fraction | None = None
    beta2: _Fraction | None = None
    epsilon: _Positive | None = None
    gradient_norm: _Positive | None = None

    def __post_init__(self) -> None:
        if self.momentum is not None and self.optimizer != "momentum":
            raise ValueError('momentum belongs to optimizer = "momentum"')
        if self.optimizer != "adam" and any(one is not None for one in (self.beta1, self.beta2, self.epsilon)):
            raise ValueError('beta1, beta2 and epsilon belong to optimizer = "adam"')

    @property
    def plan(self) -> LocalTraining:
        """As a plan has it, with the optimiser's usual numbers for those not given."""
        given = {name: getattr(self, name) for name in ("momentum", "beta1", "beta2", "epsilon", "gradient_norm")}
        own = {name: value for name, value in given.items() if value is not None}
        return LocalTraining.make(
            self.local_steps, self.batch_size, self.learning_rate, proximal=self.proximal, optimizer=self.optimizer, **own
        )


class PrivacyTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Clip norm, noise of the sum, and the delta at which epsilon is reported. `without_privacy` belongs to a multiplier of 0."""

    clip_norm: _Positive
    noise_multiplier: _NotNegative
    delta: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    keep_one_in: Literal[1, 2, 4] = 1
    without_privacy: bool = False

    def __post_init__(self) -> None:
        if (self.noise_multiplier == 0) != self.without_privacy:
            raise ValueError("noise_multiplier = 0 and without_privacy = true belong together: without noise nothing is private")

    @property
    def noise(self) -> Fraction:
        """The multiplier exactly as it was typed."""
        return Fraction(str(self.noise_multiplier))


class CohortTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fewest and the most contributions of a round, and how long it waits.

    A round closes at `target` contributions (default: `max_devices`) or at its deadline.
    """

    min_devices: _AtLeastOne
    max_devices: Annotated[int, msgspec.Meta(ge=1, le=MAX_COHORT)]
    deadline_s: _AtLeastOne = 600
    target: _AtLeastOne | None = None

    def __post_init__(self) -> None:
        if self.max_devices < self.min_devices:
            raise ValueError("max_devices must be at least min_devices")
        if self.target is not None and not self.min_devices <= self.target <= self.max_devices:
            raise ValueError("target must lie between min_devices and max_devices")


class AggregationTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scheme, and the global optimiser with its settings. `accept_slow`: take a model that the scheme was not made for, and wait."""

    scheme: _Text = "auto"
    optimizer: Literal["fedavg", "fedavgm", "fedadam"] = "fedavg"
    learning_rate: float | None = None
    momentum: float | None = None
    beta1: float | None = None
    beta2: float | None = None
    tau: float | None = None
    accept_slow: bool = False

    def __post_init__(self) -> None:
        if self.scheme != AUTO and self.scheme not in ORCHESTRATOR_SCHEMES:
            there = ", ".join(ORCHESTRATOR_SCHEMES)
            raise ValueError(f'scheme: this version has no scheme {self.scheme}; it has {there}; or write "{AUTO}"')

    @property
    def settings(self) -> OptimizerSettings:
        """As a record has it."""
        given = {name: getattr(self, name) for name in ("beta1", "beta2", "learning_rate", "momentum", "tau")}
        return OptimizerSettings(self.optimizer, tuple((name, value) for name, value in given.items() if value is not None))


class EvaluationTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file, npz or csv, with rows that no device has. `gate`: refuse a model whose accuracy on them is lower by more than this.

    `features` and `labels` as on a device: arrays of an npz file (default `x` and `y`), columns of a csv file (default: all but the
    labels, and `y`). `delimiter` and `decimal` belong to csv.
    """

    path: Path
    features: _Text | tuple[_Text, ...] | None = None
    labels: _Text | tuple[_Text, ...] = "y"
    delimiter: _Text = ","
    decimal: _Text = "."
    gate: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


class JobFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole job."""

    job: JobTable
    model: ModelTable
    training: TrainingTable
    privacy: PrivacyTable
    cohort: CohortTable
    aggregation: AggregationTable = AggregationTable()
    evaluation: EvaluationTable | None = None

    def to_job(self, architecture: Architecture, *, selection: int = SELECT_ALL, approve: Approval = approve_all) -> Job:
        """The part that all rounds have in common. With the scheme `auto` it has the first one there is; `check` chooses."""
        return Job(
            task=TrainingTask(architecture, self.training.plan, self.aggregation.settings, approve),
            clip_norm=self.privacy.clip_norm,
            noise_multiplier=self.privacy.noise,
            min_devices=self.cohort.min_devices,
            max_devices=self.cohort.max_devices,
            scheme=next(iter(ORCHESTRATOR_SCHEMES)) if self.aggregation.scheme == AUTO else self.aggregation.scheme,
            deadline_s=self.cohort.deadline_s,
            selection=selection,
            keep_one_in=self.privacy.keep_one_in,
            without_privacy=self.privacy.without_privacy,
            accept_slow=self.aggregation.accept_slow,
        )

    def identity(self, architecture: Architecture) -> bytes:
        """Equal for jobs that go on with each other's model: name, architecture and global optimiser."""
        parts = (self.job.name.encode(), architecture.digest, self.aggregation.optimizer.encode())
        return sha256(b"".join(map(length_prefixed, parts)))


def next_step(path: Path) -> str:
    """The advice for a job file with mistakes."""
    return f"Correct the lines, then run: {typed('orchestrator', 'check', path)}"


def read(path: Path) -> tuple[JobFile, str]:
    """The job in a file, and its text, in which the path of a trainable model is whole: what is kept of a job knows no folder.

    Raises `FileNotFoundError`, `LocalError(CONFIG_INVALID)` with every mistake.
    """
    text = text_of(path, next_step=next_step(path))
    file = parse(text, path)
    whole = json.dumps(str(file.model.onnx), ensure_ascii=False)
    return file, text if file.model.onnx is None else _ONNX.sub(lambda found: found[1] + whole, text, count=1)


def parse(text: str, source: Path) -> JobFile:
    """The job in a text that is, or was, the file `source`. Raises `LocalError(CONFIG_INVALID)`."""
    return parse_settings(JobFile, text, source=source, next_step=next_step(source))


def changes(before: JobFile, after: JobFile) -> tuple[str, ...]:
    """The differences between two versions of a job, as `[table] key: old -> new`."""
    old, new = _flat(before), _flat(after)
    return tuple(f"{key}: {old.get(key, 'unset')} -> {new.get(key, 'unset')}" for key in {**old, **new} if old.get(key) != new.get(key))


def _flat(job: JobFile) -> Mapping[str, object]:
    tables = {table: getattr(job, table) for table in job.__struct_fields__}
    return {
        f"[{table}] {key}": getattr(values, key)
        for table, values in tables.items()
        if values is not None
        for key in values.__struct_fields__
    }
