"""After real rounds every device has the model that its orchestrator released, whether it trains, only uses models, or was away."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np

from edge_agent import model
from edge_agent.kept_models import KeptModels
from edge_agent.model_follower import ModelFollower
from hushfleet.documents import LocalTraining, NamedHash, OptimizerSettings, Policy
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.planning import Job
from hushfleet.rounds.tasks.train import TrainingTask
from hushfleet.training import Data
from models import catalogue
from models.evaluation import predict
from simulation.fleet import FleetSetup
from simulation.memory_fleet import MemoryFleet
from simulation.parties import Parties
from tests.support.keys import load


def test_every_device_has_the_released_model(tmp_path):
    randomness, trainer = SystemRandomness(), catalogue.trainer("softmax:4x3")
    parties = Parties.generate("meadow", 5, 4, randomness)
    allowed = (NamedHash(trainer.architecture.name, trainer.architecture.digest),)
    policy = Policy.make(min_devices=4, max_devices=5, models=allowed, budget_nano_rho=10**9, max_values=100)
    job = Job(TrainingTask(trainer.architecture, LocalTraining.make(2, 4, 0.1), OptimizerSettings("fedavg", ())), 1.0, 4.0, 4, 5)
    rows = np.eye(4)
    setup = FleetSetup(
        parties,
        load("insecure-512"),
        policy,
        job,
        trainer.initial(randomness),
        {name: Data(rows, np.arange(4) % 3) for name in parties.devices},
    )
    with (
        ThreadPoolExecutor(1) as executor,
        closing(MemoryFleet(setup, tmp_path, trainer=trainer, executor=executor, insecure_keys=True)) as fleet,
    ):
        *there, late = fleet.agents
        for name in there:
            follow(fleet, name)
        for round_number in (1, 2):
            assert fleet.run_round()
            released = fleet.orchestrator.state.memory.progress.model
            for name in there:
                found = model.current(tmp_path / "devices" / name)
                assert (found.version, found.card.parameters) == (round_number, released.digest.hex())
                assert found.predict(rows).tolist() == predict(trainer, released, rows).tolist()
        follow(fleet, late)
        fleet.settle()

        assert [one.card.version for one in KeptModels(tmp_path / "devices" / late).versions()] == [2]


def follow(fleet, name):
    agent = fleet.agents[name]
    agent._follower = ModelFollower(fleet.folder / "devices" / name, "meadow")
    agent.connect()
