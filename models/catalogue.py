"""Model names, as policies and jobs write them, and what each name means.

A name is `FAMILY:SIZES[:OPTION...]`, for example `softmax:64x10`, `mlp:64x32x10:tanh`, `mlp:13x8x1:mse`. Sizes run from
inputs to outputs; an option is an activation or a loss of the family, in any order, the first of each kind being the default.
`net.trainable`, or a path that ends so, is a trainable model of `models.onnx` (the ending `.bundle` is read too); a relative path
counts from the working folder, so programs that read a name from a file place it first.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from hushfleet.errors import LocalError, Refusal
from hushfleet.program.contract import Contract, load_contract
from hushfleet.training import Architecture, Data, GlobalModel
from hushfleet.typed import typed
from models import mlp, softmax
from models.evaluation import Metrics, Model, evaluate, predict
from models.onnx.inference import InferenceModel
from models.onnx.trainable import TrainableModel, load_trainable
from models.onnx.trainer import OnnxTrainer

__all__ = [
    "FAMILIES",
    "Family",
    "InferenceModel",
    "Metrics",
    "Model",
    "ModelName",
    "architecture",
    "built_in",
    "contracted",
    "families",
    "inference_file",
    "is_trainable",
    "names_a_file",
    "parse",
    "placed",
    "predict",
    "score",
    "trainer",
]

_ENDINGS = (".trainable", ".bundle")

_AT = "@"
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


@dataclass(frozen=True, slots=True)
class ContractedName:
    """A name `FAMILY@CONTRACT[:HIDDEN][:OPTION...]` taken apart; `contract` is a path, or the name by which plans know it."""

    family: str
    contract: str
    hidden: str
    options: tuple[str, ...]

    def sized(self, inputs: int, outputs: int) -> ModelName:
        """The name of the family with the sizes that a contract says. Raises as `parse`."""
        sizes = "x".join(filter(None, (str(inputs), self.hidden, str(outputs))))
        return parse(":".join((self.family, sizes, *self.options)))


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


def parse_contracted(name: str) -> ContractedName:
    """Take the name of a model under a contract apart."""
    family, _, rest = name.partition(_AT)
    contract, *options = rest.split(":")
    hidden = options.pop(0) if options and re.fullmatch(r"[1-9][0-9x]*", options[0]) else ""
    return ContractedName(family, contract, hidden, tuple(options))


def is_trainable(name: str) -> bool:
    """True if `name` is the path of a trainable model, False if it is of a family."""
    return name.endswith(_ENDINGS)


def names_a_file(name: str) -> bool:
    """True if `name` holds a path: of a trainable model, or of a data contract."""
    return is_trainable(name) or _AT in name


def placed(name: str, folder: Path) -> str:
    """`name` as it stands in a file of `folder`: the path of a trainable model or contract counts from there, other names stay."""
    if _AT in name:
        family, _, rest = name.partition(_AT)
        path, *options = rest.split(":")
        return ":".join((f"{family}{_AT}{folder.absolute() / Path(path).expanduser()}", *options))
    return str(folder.absolute() / Path(name).expanduser()) if is_trainable(name) else name


def trainer(name: str, *, threads: int = 1) -> Model:
    """The model that `name` stands for, under its canonical name. `threads` are those of a trainable model's session.

    `LocalError`: `MODEL_NAME` as `parse` and for a trainable model that is not there; else as `load_trainable`.
    """
    if is_trainable(name):
        return OnnxTrainer(_trainable(name), threads=threads)
    if _AT in name:
        return contracted(name, load_contract(Path(parse_contracted(name).contract)))
    parsed = parse(name)
    return FAMILIES[parsed.family].build(str(parsed), parsed.sizes, parsed.activation, parsed.loss)


def contracted(name: str, contract: Contract) -> Model:
    """The model that `FAMILY@CONTRACT[:HIDDEN][:OPTION...]` stands for: shape and hash follow the contract. Raises as `parse`."""
    under = parse_contracted(name)
    parsed = under.sized(len(contract.features), contract.outputs)
    model = FAMILIES[parsed.family].build(str(parsed), parsed.sizes, parsed.activation, parsed.loss)
    known = ":".join(filter(None, (f"{under.family}{_AT}{contract.name}", under.hidden, *str(parsed).split(":")[2:])))
    plain = model.architecture
    graph = plain.graph + b"/contract/" + contract.digest.hex().encode()
    return cast("Model", replace(cast("Any", model), architecture=replace(plain, name=known, graph=graph)))


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


def built_in(name: str, contract: Contract | None = None) -> Model | None:
    """The model of a family, or of a family with `contract`, that `name` stands for; None for any other name. Opens no file."""
    try:
        if _AT in name:
            return contracted(name, contract) if contract is not None and parse_contracted(name).contract == contract.name else None
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
