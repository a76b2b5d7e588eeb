"""Model names, as policies and jobs write them, and what each name means.

A name is `FAMILY:SIZES[:OPTION...]`, for example `softmax:64x10`, `mlp:64x32x10:tanh`, `mlp:13x8x1:mse`. Sizes run from
inputs to outputs; an option is an activation or a loss of the family, in any order, the first of each kind being the default.
`net.trainable`, or a path that ends so, is a trainable model of `models.onnx` (the ending `.bundle` is read too); a relative path
counts from the working folder, so programs that read a name from a file place it first.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from hushfleet.errors import LocalError, Refusal
from hushfleet.training import Architecture, Data, GlobalModel
from hushfleet.typed import typed
from models import mlp, softmax
from models.evaluation import Metrics, Model, evaluate
from models.onnx.trainable import TrainableModel, load_trainable
from models.onnx.trainer import OnnxTrainer

__all__ = [
    "FAMILIES",
    "Family",
    "Metrics",
    "Model",
    "ModelName",
    "architecture",
    "built_in",
    "families",
    "inference_file",
    "is_trainable",
    "parse",
    "placed",
    "score",
    "trainer",
]

_ENDINGS = (".trainable", ".bundle")

_SIZES = re.compile(r"[1-9][0-9]{0,6}(x[1-9][0-9]{0,6})+")


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of model: how to build it and what its names may say. `most_sizes` None: any number of layers."""

    build: Callable[[str, Sequence[int], str, str], Model]
    description: str
    example: str
    activations: tuple[str, ...]
    losses: tuple[str, ...]
    most_sizes: int | None = None


@dataclass(frozen=True, slots=True)
class ModelName:
    """A name taken apart. `str` gives the canonical spelling: defaults left out, activation before loss."""

    family: str
    sizes: tuple[int, ...]
    activation: str
    loss: str

    def __str__(self) -> str:
        family = FAMILIES[self.family]
        chosen = ((self.activation, family.activations), (self.loss, family.losses))
        options = [value for value, choices in chosen if choices and value != choices[0]]
        return ":".join([self.family, "x".join(map(str, self.sizes)), *options])


_ANY_LOSS = ("softmax-cross-entropy", "mse", "binary-cross-entropy")

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "softmax": Family(softmax.build, "softmax regression with bias", "softmax:64x10", (), _ANY_LOSS[:1], 2),
        "mlp": Family(mlp.build, "dense layers", "mlp:64x32x10", ("relu", "tanh"), _ANY_LOSS),
    }
)


def parse(name: str) -> ModelName:
    """Take a name apart. `LocalError(MODEL_NAME)` says what is wrong and which names exist."""
    kind, _, rest = name.partition(":")
    sizes, *options = rest.split(":")
    if kind not in FAMILIES:
        raise _unknown(f"there is no model family {kind!r}")
    family = FAMILIES[kind]
    numbers = tuple(map(int, sizes.split("x"))) if _SIZES.fullmatch(sizes) else ()
    if not numbers or len(numbers) > (family.most_sizes or len(numbers)):
        raise _unknown(f"{name!r}: {sizes!r} are not sizes from inputs to outputs for {kind!r}")
    activation = _choose(name, options, family.activations)
    loss = _choose(name, options, family.losses)
    if options:
        raise _unknown(f"{name!r}: {options[0]!r} is no option of {kind!r}, or one too many")
    return ModelName(kind, numbers, activation, loss)


def is_trainable(name: str) -> bool:
    """True if `name` is the path of a trainable model, False if it is of a family."""
    return name.endswith(_ENDINGS)


def placed(name: str, folder: Path) -> str:
    """`name` as it stands in a file of `folder`: the path of a trainable model counts from there, other names stay."""
    return str(folder.absolute() / Path(name).expanduser()) if is_trainable(name) else name


def trainer(name: str, *, threads: int = 1) -> Model:
    """The model that `name` stands for, under its canonical name. `threads` are those of a trainable model's session.

    `LocalError`: `MODEL_NAME` as `parse` and for a trainable model that is not there; else as `load_trainable`.
    """
    if is_trainable(name):
        return OnnxTrainer(_trainable(name), threads=threads)
    parsed = parse(name)
    return FAMILIES[parsed.family].build(str(parsed), parsed.sizes, parsed.activation, parsed.loss)


def architecture(name: str) -> Architecture:
    """Shapes and hash of the model that `name` stands for. Needs no onnxruntime. Raises as `trainer`."""
    return _trainable(name).architecture if is_trainable(name) else trainer(name).architecture


def inference_file(name: str, model: GlobalModel) -> bytes:
    """An ordinary ONNX file with the values of `model`, with inputs and outputs as in the file that the trainable model was made of.

    `LocalError`: `MODEL_NAME` for a name of a family, else as `trainer`.
    """
    if not is_trainable(name):
        raise LocalError(Refusal.MODEL_NAME, f"{name} is a numpy model and was no ONNX file", next_step="Export it without --onnx.")
    return _trainable(name).inference_file(model.parameters)


def built_in(name: str) -> Model | None:
    """The model of a family that `name` stands for, or None for any other name. Opens no file."""
    try:
        return None if is_trainable(name) else trainer(name)
    except LocalError:
        return None


def score(model: Model, current: GlobalModel, data: Data) -> Metrics:
    """Loss and accuracy over all of `data`. Raises `DataError` for data that `model` could not train on."""
    return evaluate(model, current, data)


def families() -> tuple[str, ...]:
    """One line per family, for help texts and error messages."""
    return tuple(
        f"{family.example}  {family.description}; options: {', '.join(family.activations + family.losses)}" for family in FAMILIES.values()
    )


def _trainable(name: str) -> TrainableModel:
    try:
        return load_trainable(Path(name))
    except FileNotFoundError as error:
        message = f"there is no trainable model {name}"
        raise LocalError(
            Refusal.MODEL_NAME, message, next_step=f"Make it: {typed('model', 'prepare', 'NET.onnx', '--loss', 'LOSS')}"
        ) from error


def _choose(name: str, options: list[str], choices: tuple[str, ...]) -> str:
    chosen = [option for option in options if option in choices]
    if len(chosen) > 1:
        raise _unknown(f"{name!r}: {' and '.join(chosen)} exclude each other")
    for option in chosen:
        options.remove(option)
    return [*chosen, *choices, ""][0]


def _unknown(message: str) -> LocalError:
    return LocalError(Refusal.MODEL_NAME, message, next_step="Names look like " + " or ".join(f.example for f in FAMILIES.values()) + ".")
