"""An orchestrator that plans a graph which the owner did not list: no device loads it, let alone runs it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from hushfleet.documents import LocalTraining, NamedHash, OptimizerSettings, Policy
from hushfleet.errors import Refusal
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.planning import Job
from hushfleet.rounds.tasks.train import TrainingTask
from hushfleet.training import Data
from models.onnx import runtime
from models.onnx.trainer import OnnxTrainer
from simulation.fleet import FleetSetup
from simulation.memory_fleet import MemoryFleet
from simulation.parties import Parties
from tests.support.hand_made_model import hand_made
from tests.support.keys import load
from tests.support.refusals import refused


@pytest.mark.parametrize("listed", [True, False])
def test_only_a_listed_graph_is_loaded(tmp_path, monkeypatch, listed):
    opened, randomness, trainer = [], SystemRandomness(), OnnxTrainer(hand_made())
    monkeypatch.setattr("models.onnx.trainer.open_session", lambda *args: opened.append(args) or runtime.open_session(*args))
    parties, digest = Parties.generate("meadow", 5, 4, randomness), trainer.architecture.digest
    allowed = (NamedHash(trainer.architecture.name, digest if listed else bytes(32)),)
    policy = Policy.make(min_devices=4, max_devices=5, models=allowed, budget_nano_rho=10**9, max_values=100)
    task = TrainingTask(trainer.architecture, LocalTraining.make(2, 4, 0.1), OptimizerSettings("fedavg", ()))
    job = Job(task, 1.0, 4.0, 4, 5)
    data = {name: Data(np.ones((6, 4)), np.arange(6) % 3) for name in parties.devices}
    setup = FleetSetup(parties, load("insecure-512"), policy, job, trainer.initial(randomness), data)
    with (
        ThreadPoolExecutor(1) as executor,
        closing(MemoryFleet(setup, tmp_path, trainer=trainer, executor=executor, insecure_keys=True)) as fleet,
    ):
        if listed:
            assert fleet.run_round()
            assert opened
            return
        monkeypatch.setattr("hushfleet.rounds.coordinator.collecting.check_plan", lambda *_: None)  # it does not keep itself from it
        fleet.orchestrator.start_round()
        refusals = fleet.await_refusals(set(parties.devices))
        assert {name for name, _ in refusals} == set(parties.devices)
        for _, refusal in refusals:
            with refused(Refusal.PLAN_ARCHITECTURE):
                raise refusal.error
        assert not opened
