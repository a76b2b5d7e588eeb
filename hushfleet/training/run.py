"""Training beside other work: start a run, fetch its update later."""

from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from hushfleet.documents import LocalTraining
from hushfleet.randomness import Randomness
from hushfleet.training.data import Data
from hushfleet.training.parameters import GlobalModel
from hushfleet.training.trainer import Trainer, train
from hushfleet.training.update import LocalUpdate


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A training under way. Its update is fetched once it is there; nothing of it leaves the process."""

    _future: Future[LocalUpdate] = field(repr=False)

    @property
    def done(self) -> bool:
        """True if the update, or the error, is there."""
        return self._future.done()


def start_training(
    trainer: Trainer, model: GlobalModel, settings: LocalTraining, data: Data, randomness: Randomness, *, executor: Executor
) -> TrainingRun:
    """Begin `train` on `executor` (threads: an update refuses to be pickled) and return at once."""
    return TrainingRun(executor.submit(train, trainer, model, settings, data, randomness))


def fetch_update(run: TrainingRun, timeout_s: float | None = None) -> LocalUpdate:
    """The update of a run, waiting up to `timeout_s` for it. Raises TimeoutError, or what `train` raised."""
    return run._future.result(timeout_s)  # noqa: SLF001 -- the one reader of its own module's field
