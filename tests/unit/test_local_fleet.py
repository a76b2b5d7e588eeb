"""The fleet in one process, with a dealt key from the tests: `tests/unit/test_examples.py` shows that it learns."""

import numpy as np
import pytest

from hushfleet import local_fleet
from hushfleet.documents import LocalTraining
from hushfleet.errors import LocalError, Refusal
from hushfleet.local_fleet import LocalFleet
from hushfleet.randomness import SeededRandomness
from hushfleet.training import Data, GlobalModel
from models.softmax import build
from tests.support.keys import load
from tests.support.refusals import refused

TRAINER = build("softmax:2x2", (2, 2), "", "softmax-cross-entropy")
TRAINING = LocalTraining.make(local_steps=2, batch_size=4, learning_rate=0.5)
NAMES = [f"pi-{number}" for number in range(1, 7)]


@pytest.fixture(autouse=True)
def _dealt(monkeypatch):
    monkeypatch.setattr(local_fleet, "_dealing", lambda *_: load("test-2048"))


def fleet(names=NAMES, **settings: object) -> LocalFleet:
    data = {name: Data(np.eye(2), np.array([0, 1])) for name in names}
    return LocalFleet(TRAINER, data, **{"training": TRAINING, "clip_norm": 1.0, "noise_multiplier": 1.0, **settings})


def test_each_round_releases_the_next_version_and_costs_as_much():
    local = fleet()
    assert (local.rounds, local.model.version, local.epsilon(1e-6)) == (0, 0, 0.0)

    first, spent = local.round(), local.rho_nano
    second = local.round()

    assert (first.version, second.version, local.rounds) == (1, 2, 2)
    assert not np.array_equal(first.parameters, second.parameters)
    # noise multiplier 1: rho = 1/2 a round, but for rounding V up
    assert (0.49 * 10**9 < spent <= 10**9 // 2, local.rho_nano) == (True, 2 * spent)
    assert local.epsilon(1e-6) > 7


def test_a_fleet_of_scheme_shared_needs_no_dealing_and_costs_as_much(monkeypatch):
    monkeypatch.setattr(local_fleet, "_dealing", lambda *_: pytest.fail("a key was dealt"))
    local = fleet(scheme="shared", noise_multiplier=1.0)
    first, spent = local.round(), local.rho_nano
    assert (first.version, local.round().version) == (1, 2)
    assert 0.49 * 10**9 < spent <= 10**9 // 2
    assert not local.roster.roster.paillier


def test_the_same_randomness_gives_the_same_fleet_and_other_randomness_another():
    first, again, other = (fleet(randomness=SeededRandomness(seed)).round().parameters for seed in (b"one", b"one", b"other"))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_training_goes_on_from_a_given_model():
    before = GlobalModel(7, np.full(TRAINER.architecture.dimension, 100, np.float32))
    after = fleet(model=before).round()
    assert after.version == 8
    assert abs(after.parameters - 100).max() < 20


def test_fewer_devices_than_a_committee_are_refused():
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        fleet(NAMES[:3])


def test_its_repr_shows_no_secret():
    assert repr(fleet()) == "LocalFleet(softmax:2x2, 6 devices, 0 rounds)"
