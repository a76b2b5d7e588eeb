"""The findings about a device's rows: what holds for them, and for which models. One pass, one function for everybody who asks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_agent.data.block import Block
from hushfleet.errors import DataError, HushfleetError, Refusal
from hushfleet.training import Trainer, fault_text, is_from_keyboard

MOST_LABELS = 20
"""The number of different labels up to which a column of whole numbers is taken for classes."""
RAW = 20.0
"""A magnitude that features of one scale, standardised or between 0 and 1, hardly reach."""


@dataclass
class Findings:
    """Of all rows: their number, shapes and labels, and for each model that does not take them the reason.

    `problem`: the reason why there are no usable rows, or None. `largest` (columns,): the greatest magnitude of each column. Labels and
    magnitudes are values of the data: for the owner's screen alone, never for a log.
    """

    problem: DataError | None = None
    rows: int = 0
    features: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    misfits: dict[str, DataError] = field(default_factory=dict)
    labels: set[float] | None = field(default_factory=set, repr=False)
    largest: npt.NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def usable(self) -> bool:
        """True if there are rows, and one of the models takes them, where any are known."""
        return self.problem is None and (not self.models or len(self.misfits) < len(self.models))

    @property
    def why(self) -> tuple[tuple[str, DataError], ...]:
        """Everything that is wrong, each with the model that it is about, or with an empty text."""
        return (("", self.problem),) if self.problem is not None else tuple(self.misfits.items())

    @property
    def looks_raw(self) -> bool:
        """True if a column is far from the size that models train well on."""
        return self.largest is not None and bool(self.largest.max(initial=0.0) > RAW)


def examine(
    blocks: Iterable[Block],
    models: Mapping[str, Trainer],
    *,
    keep: Callable[[Block], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> Findings:
    """Look at all rows once. `keep` gets each block; `progress` the number of rows so far. Never raises for what is wrong with the data.

    Memory follows the size of a block. Raises what `keep` raises, and KeyboardInterrupt in the main thread.
    """
    found = Findings(models=tuple(models))
    rows = iter(blocks)
    while True:
        try:
            block = next(rows, None)
        except DataError as error:
            found.problem = error
            return found
        if block is None:
            break
        _look(found, block, models)
        if found.problem is not None:
            return found
        keep(block)
        progress(found.rows)
    if not found.rows:
        found.problem = DataError(Refusal.DATA_EMPTY, "there are no rows to train on", next_step="Fill the file that [data] names.")
    return found


def _look(found: Findings, block: Block, models: Mapping[str, Trainer]) -> None:
    data = block.data
    shapes = (data.features.shape[1:], data.targets.shape[1:])
    if found.rows and shapes != (found.features, found.targets):
        found.problem = DataError(Refusal.DATA_SHAPE, "the rows are not of one shape", row=found.rows)
        return
    found.features, found.targets = shapes
    for name, trainer in models.items():
        if name not in found.misfits and (misfit := _misfit(trainer, block, found.rows)) is not None:
            found.misfits[name] = misfit
    _summarise(found, block)
    found.rows += len(data)


def _misfit(trainer: Trainer, block: Block, before: int) -> DataError | None:
    try:
        trainer.check(block.data.features, block.data.targets)
    except DataError as error:
        line = int(block.lines[error.row]) if block.lines is not None and error.row is not None else None
        whole = error.reason is Refusal.DATA_SHAPE
        return error.at() if whole else error.at(row=None if error.row is None else before + error.row, line=line)
    except BaseException as error:
        if is_from_keyboard(error):
            raise
        what = error.reason.value if isinstance(error, HushfleetError) else fault_text(error)
        return DataError(Refusal.DATA_SHAPE, f"the check of the model failed: {what}")
    return None


def _summarise(found: Findings, block: Block) -> None:
    features, targets = block.data.features, block.data.targets
    if features.ndim == 2:
        largest = np.abs(features).max(axis=0).astype(np.float64)
        found.largest = largest if found.largest is None else np.maximum(found.largest, largest)
    if found.labels is not None:
        seen = np.unique(targets) if targets.ndim == 1 else np.array([0.5])
        found.labels |= {float(label) for label in seen[: MOST_LABELS + 1]}
        if len(found.labels) > MOST_LABELS or any(label != int(label) for label in found.labels):
            found.labels = None
