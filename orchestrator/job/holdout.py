"""The score of a model on rows that no device has, and the gate that keeps a worse model back."""

from dataclasses import dataclass

import numpy as np

from hushfleet.errors import DataError, PeerError, Refusal
from hushfleet.program.contract import Contract
from hushfleet.program.csv_table import CsvColumns, read_table
from hushfleet.program.npz import read_arrays
from hushfleet.rounds.tasks.base import Progress
from hushfleet.rounds.tasks.train import Approval, approve_all, own
from hushfleet.training import Data, GlobalModel
from models import catalogue
from orchestrator.job.file import EvaluationTable, JobFile

_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Score:
    """Mean loss on the holdout, and the share of right answers in [0, 1] where the loss knows any."""

    loss: float
    accuracy: float | None


class Holdout:
    """Scores models on one set of rows; what was scored once is remembered."""

    def __init__(self, model: catalogue.Model, data: Data) -> None:
        """Raises `DataError` for rows that `model` could not train on."""
        model.check(data.features, data.targets)
        self._model, self._data = model, data
        self._known: dict[bytes, Score] = {}

    def __len__(self) -> int:
        return len(self._data)

    @property
    def data(self) -> Data:
        """The rows."""
        return self._data

    def score_progress(self, progress: Progress) -> Score:
        """The score of the model in force."""
        return self.score(own(progress).model)

    def score(self, model: GlobalModel) -> Score:
        """The same for the same model."""
        if model.digest not in self._known:
            metrics = catalogue.score(self._model, model, self._data)
            self._known[model.digest] = Score(metrics.loss, metrics.accuracy)
        return self._known[model.digest]

    def gate(self, margin: float) -> Approval:
        """Raises `PeerError(HOLDOUT_GATE)` for a model whose accuracy is lower by more than `margin` than that of the one in force.

        Where the loss knows no right answer, `margin` is the relative rise of the loss.
        """

        def approve(before: GlobalModel, after: GlobalModel) -> None:
            old, new = self.score(before), self.score(after)
            if old.accuracy is not None and new.accuracy is not None:
                worse, text = old.accuracy - new.accuracy > margin, f"accuracy would fall from {old.accuracy:.1%} to {new.accuracy:.1%}"
            else:
                worse, text = new.loss > old.loss * (1 + margin), f"loss would rise from {old.loss:.4g} to {new.loss:.4g}"
            if worse:
                raise PeerError(Refusal.HOLDOUT_GATE, f"{text} on the holdout, by more than the gate of {margin:g}")

        return approve


def open_holdout(table: EvaluationTable, model: catalogue.Model, contract: Contract | None = None) -> Holdout:
    """The rows that `[evaluation]` names, from a csv file by its ending, otherwise from npz; csv under the job's contract.

    Raises `DataError`: `DATA_SOURCE` for a file, an array or a column that is not there, otherwise as `Data` and the csv reader.
    """
    if table.path.suffix.lower() == ".csv":
        names, written = (table.features or "*", table.labels), (table.delimiter, table.decimal)
        wanted = CsvColumns(*names, *written, table="[evaluation]", options="[evaluation]", contract=contract)
        parts = [(features, labels) for features, labels, _ in read_table(table.path, wanted, rows=_ROWS)]
        if not parts:
            raise DataError(Refusal.DATA_EMPTY, f"{table.path} holds no rows", next_step="Check [evaluation] path.")
        return Holdout(model, Data(*(np.concatenate(one) for one in zip(*parts, strict=True))))
    arrays = table.features or "x", table.labels
    if not all(isinstance(one, str) for one in arrays):
        message = "an npz file has one array of features and one of labels, not a list of names"
        raise DataError(Refusal.DATA_SOURCE, message, next_step="Check [evaluation] features and labels.")
    return Holdout(model, Data(*read_arrays(table.path, str(arrays[0]), str(arrays[1]), section="evaluation")))


def approval_of(job: JobFile, holdout: Holdout | None) -> Approval:
    """The job's gate, or none."""
    if job.evaluation is None or job.evaluation.gate is None or holdout is None:
        return approve_all
    return holdout.gate(job.evaluation.gate)
