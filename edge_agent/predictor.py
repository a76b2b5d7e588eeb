"""A kept model made ready to predict: built when it is first asked, from the files beside its card, each held against its hash."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edge_agent.kept_models import CONTRACT, INFERENCE, VALUES, Card, KeptModel
from hushfleet.errors import DataError, LocalError, Refusal
from hushfleet.program.contract import Contract
from hushfleet.training import GlobalModel
from hushfleet.typed import typed
from models import catalogue

Array = npt.NDArray[Any]


@dataclass
class Predictor:
    """One version in memory. Its answers do not change when a later version comes."""

    kept: KeptModel

    @property
    def card(self) -> Card:
        """The account of this version."""
        return self.kept.card

    @property
    def version(self) -> int:
        """The model version."""
        return self.card.version

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in order, where a data contract gives them."""
        return self._contract.labels if self._contract else ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the features, in order, where a data contract gives them."""
        return tuple(one.name for one in self._contract.features) if self._contract else ()

    @cached_property
    def arrays(self) -> Mapping[str, Array]:
        """The values, by the name of their parameter."""
        with np.load(io.BytesIO(self.kept.content(VALUES)), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}

    def predict(self, rows: npt.ArrayLike) -> Array:
        """Predictions for rows (n, features): class numbers (n,), bits (n, k) or values (n, k), as the model's loss has it.

        Raises `DataError(DATA_SHAPE)`, `DATA_NOT_FINITE`; `LocalError`: `MODEL_ABSENT` if this device cannot run the model,
        `MODEL_DAMAGED`.
        """
        table = np.asarray(rows, dtype=np.float64)
        if table.ndim < 2:
            text = f"rows are a table, not an array of {table.ndim} dimensions"
            raise DataError(Refusal.DATA_SHAPE, text, next_step="Give one row as [[1.0, 2.0]].")
        if not np.isfinite(table).all():
            raise DataError(Refusal.DATA_NOT_FINITE, "a value is not a finite number", next_step="Correct the rows.")
        return self._inference.predict(table) if self._inference else self._in_numpy(table)

    def named(self, predictions: Array) -> list[Any]:
        """Predictions for people and programs: the names of classes where there are any, else numbers."""
        if self.classes and predictions.ndim == 1 and predictions.dtype.kind in "iu":
            return [self.classes[int(one)] for one in predictions]
        found: list[Any] = predictions.tolist()
        return found

    @cached_property
    def _contract(self) -> Contract | None:
        if CONTRACT not in self.card.files:
            return None
        try:
            return msgspec.toml.decode(self.kept.content(CONTRACT), type=Contract)
        except (msgspec.MsgspecError, ValueError) as error:
            raise LocalError(Refusal.MODEL_DAMAGED, f"{self.kept.folder / CONTRACT} is no data contract") from error

    @cached_property
    def _inference(self) -> catalogue.InferenceModel | None:
        if INFERENCE not in self.card.files:
            return None
        return catalogue.InferenceModel(self.kept.content(INFERENCE), self.card.loss)

    @cached_property
    def _model(self) -> catalogue.Model:
        model = catalogue.built_in(self.card.model, self._contract) if self.card.model else None
        if model is None or model.architecture.digest.hex() != self.card.architecture:
            name = self.card.model or "of an unknown name"
            message = f"this device cannot run the model {name}: it keeps the values, and lacks the model that they belong to"
            step = "Name its trainable model or contract in agent.toml and restart the agent; or take the values: "
            raise LocalError(Refusal.MODEL_ABSENT, message, next_step=step + typed("agent", "model", "export", "FILE"))
        return model

    def _in_numpy(self, table: Array) -> Array:
        model = self._model
        values = model.architecture.join({name: one.astype(np.float64) for name, one in self.arrays.items()})
        _, targets = model.made_up(max(1, len(table)))
        try:
            model.check(table, targets[: len(table)])
        except DataError as error:
            step = "Give the features that the model was trained on, in their order; for files: " + typed("agent", "predict", "--help")
            raise DataError(error.reason, error.what, row=error.row, next_step=step) from error
        return catalogue.predict(model, GlobalModel(self.version, values.astype(np.float32)), table)
