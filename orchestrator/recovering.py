"""The part of `hushfleet orchestrator recover` that knows keys, jobs and models."""

import math
from contextlib import closing
from pathlib import Path

from hushfleet.rounds.tasks.base import Progress
from hushfleet.rounds.tasks.train import TrainingProgress
from hushfleet.training import GlobalModel
from models import catalogue
from orchestrator.config import Config
from orchestrator.folder import OrchestratorKeys, StateFolder
from orchestrator.job import file as job_file
from orchestrator.store.recovery import Recovered
from orchestrator.store.recovery import recover as recover_store
from orchestrator.store.store import Store


def recover(folder: StateFolder, config: Config) -> Recovered:
    """Mend the store of `folder`. Raises `LocalError`: `NOT_ENROLLED`, `STATE_IN_USE`, `STORE_DAMAGED`, as `recovery.recover`.

    A global optimiser's memory, such as a momentum, is not in the archive: it begins anew.
    """
    fleet, keys = folder.joined(), OrchestratorKeys.load(folder.path)
    with folder.locked(), closing(Store(folder.path, fleet.root, url=config.store.url, recovering=True)) as store:
        job = store.job()
        dimension = 0
        if job is not None:
            file = job_file.parse(job.settings, Path(job.name))
            dimension = catalogue.architecture(file.model.full_name).dimension

        def restored(result: bytes, version: int) -> Progress:
            return TrainingProgress.start(GlobalModel.from_bytes(result, version=version, dimension=dimension, max_abs=math.inf))

        return recover_store(store, keys.signing.verify_key, restored)
