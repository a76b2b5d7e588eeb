"""The check of a device's data before and outside the agent: as the agent itself does it, for a person who waits for the answer."""

from collections.abc import Callable
from contextlib import closing

from edge_agent.config import Config
from edge_agent.data import read_blocks
from edge_agent.data.findings import Findings, examine
from edge_agent.folder import StateFolder
from edge_agent.store import Store
from edge_agent.trainers import Build, Trainers
from hushfleet.documents import VerifiedRoster
from hushfleet.errors import LocalError
from hushfleet.program.contract import Contract, load_contract
from hushfleet.training import Trainer
from models import catalogue


def configured_trainers(config: Config) -> dict[bytes, Trainer]:
    """The trainers that the configuration names, by architecture hash. Raises `LocalError(MODEL_NAME)`."""
    trainers = (catalogue.trainer(name, threads=config.training.threads) for name in config.training.models)
    return {trainer.architecture.digest: trainer for trainer in trainers}


def contract_of(config: Config) -> Contract | None:
    """The contract of this device's data, if it has one. Raises `LocalError(CONFIG_INVALID)`."""
    return load_contract(config.data.contract) if config.data is not None and config.data.contract is not None else None


def builder(config: Config) -> Build:
    """Builds a model by the name in a plan: of a family, or of a family with this device's data contract. Raises `LocalError`."""
    contract = contract_of(config)
    return lambda name: catalogue.built_in(name, contract)


def models_of(config: Config, folder: StateFolder | None) -> dict[str, Trainer]:
    """The models that the data will be held against: those of the configuration, and those that the policy in `folder` allows."""
    roster = _roster(folder) if folder is not None else None
    trainers = Trainers(configured_trainers(config), builder(config))
    return trainers.known({one.name: one.digest for one in roster.policy.models} if roster else {})


def check_data(config: Config, folder: StateFolder | None, *, progress: Callable[[int], None] = lambda _: None) -> Findings:
    """The findings of one whole look, exactly as the agent's."""
    return examine(read_blocks(config.data), models_of(config, folder), progress=progress)


def _roster(folder: StateFolder) -> VerifiedRoster | None:
    fleet = folder.fleet()
    if fleet is None:
        return None
    try:
        with closing(Store(folder.path, may_change=False)) as store:
            return store.roster(fleet.root)
    except LocalError:
        return None
