"""Training beside other work: start a run, fetch its update later."""

from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from hushfleet.documents import LocalTraining
from hushfleet.errors import HushfleetError
from hushfleet.randomness import Randomness
from hushfleet.training.data import Data
from hushfleet.training.parameters import GlobalModel
from hushfleet.training.trainer import Trainer, train_regardless
from hushfleet.training.update import LocalUpdate


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A training under way. Its update is fetched once it is there; nothing of it leaves the process."""

    _future: Future[LocalUpdate | HushfleetError] = field(repr=False)

    @property
    def done(self) -> bool:
        """True once the update, or the error, is there."""
        return self._future.done()

    def cancel(self) -> None:
        """Give the run up if it has not begun. One that has begun goes on to its end."""
        self._future.cancel()


def start_training(
    trainer: Trainer, model: GlobalModel, settings: LocalTraining, data: Data | None, randomness: Randomness, *, executor: Executor
) -> TrainingRun:
    """Begin `train_regardless` on `executor` and return at once. `data`: rows read and checked before, or None if there are none.

    The executor must have threads, not processes: an update refuses to be pickled.
    """
    return TrainingRun(executor.submit(train_regardless, trainer, model, settings, data, randomness))


def fetch_update(run: TrainingRun, timeout_s: float | None = None) -> LocalUpdate:
    """The update of a run, waiting up to `timeout_s` for it.

    Raises TimeoutError, or the `HushfleetError` for which there is no update, once all steps were done all the same.
    """
    outcome = run._future.result(timeout_s)  # noqa: SLF001 -- the one reader of its own module's field
    if isinstance(outcome, HushfleetError):
        raise outcome
    return outcome
