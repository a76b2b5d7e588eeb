"""An orchestrator sends what raises an error that nobody foresaw: the agent must not end, nor meet it again after each restart.

The plan is retained by the broker, so an agent that ended over it would end again as soon as its service is restarted. The same
step is tried with the boundary, where it is refused by the error's type and place, and without it, where the agent ends.
"""

from pathlib import Path

import pytest

from edge_agent import agent as agent_module
from edge_agent.trainers import Trainers
from hushfleet.errors import HushfleetError, LocalError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds import device, machine, plan_check
from hushfleet.rounds.device import Idle
from hushfleet.rounds.effects import Refused
from hushfleet.rounds.events import PlanArrived, RosterArrived
from hushfleet.wire import encode_signed
from models import catalogue
from tests.support.fleet import make_fleet, raise_refusal
from tests.support.fleet.attacked import AttackedFleet, attack_fleet, staged
from tests.support.refusals import refused

BOUNDARY = machine.unforeseen
VICTIM = "device-05"
DATA = "a row of data"


def stumble(*_: object, **__: object) -> None:
    raise ZeroDivisionError(DATA)


def last_refusal(stage: AttackedFleet) -> HushfleetError:
    found = [what for who, what in stage.running.log.entries if who == VICTIM and isinstance(what, Refused)]
    return found[-1].error


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "unforeseen", BOUNDARY)


class TestPlan:
    @pytest.mark.usefixtures("guarded")
    def test_it_is_refused_by_type_and_place_each_time_it_comes(self, stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(plan_check, "_checks", stumble)
        plan = stage.fleet.plan(1)

        for _ in range(2):  # again, as after a restart
            stage.offer_plan(VICTIM, plan)

        with refused(Refusal.STEP_FAILED, LocalError):
            raise last_refusal(stage)
        assert "ZeroDivisionError at test_unforeseen_errors.py" in str(last_refusal(stage))
        assert DATA not in str(last_refusal(stage))
        assert isinstance(stage.running.agents[VICTIM].state, Idle)

    @pytest.mark.usefixtures("guarded")
    def test_the_next_plan_is_taken(self, stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(plan_check, "_checks", stumble)
            stage.offer_plan(VICTIM, stage.fleet.plan(1))

        stage.offer_plan(VICTIM, stage.fleet.plan(2))

        assert stage.spent(VICTIM) > 0

    def test_control_without_the_boundary_the_agent_ends(self, stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(plan_check, "_checks", stumble)

        with pytest.raises(ZeroDivisionError):
            stage.offer_plan(VICTIM, stage.fleet.plan(1))


class TestTrainer:
    def test_a_trainer_that_cannot_be_made_keeps_the_device_out(self, stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(agent_module, "unforeseen", BOUNDARY)
        monkeypatch.setattr(Trainers, "require", stumble)

        stage.offer_plan(VICTIM, stage.fleet.plan(1))

        assert last_refusal(stage).reason is Refusal.STEP_FAILED
        assert isinstance(stage.running.agents[VICTIM].state, Idle)
        assert stage.spent(VICTIM) == 0

    @pytest.mark.parametrize("dimension", [1, 1 << 20, 1 << 26, (1 << 26) + 1, 1 << 40])
    def test_an_allowed_hash_with_another_dimension_is_refused(
        self, dimension: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with staged(attack_fleet(), tmp_path, monkeypatch) as stage:
            stage.running.agents[VICTIM]._trainers._build = catalogue.built_in

            stage.offer_plan(VICTIM, stage.fleet.plan(1, dimension=dimension))

            assert last_refusal(stage).reason in (Refusal.PLAN_DIMENSION, Refusal.MODEL_ABSENT, Refusal.PLAN_SENSITIVITY)
            assert stage.spent(VICTIM) == 0


def test_a_waiting_plan_that_stumbles_does_not_keep_a_roster_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever signs plans could keep a device from learning whom the owner revoked."""
    monkeypatch.setattr(machine, "unforeseen", BOUNDARY)
    fleet = make_fleet()
    newer, own, randomness = fleet.newer(), fleet.device(), SeededRandomness(b"d")
    waiting, _ = own.step(fleet.device_state(), PlanArrived(encode_signed(newer.plan().signed)), randomness)
    monkeypatch.setattr(device, "_judge", stumble)

    after, effects = own.step(waiting, RosterArrived(encode_signed(newer.roster.signed)), randomness)

    assert after.roster.digest == newer.roster.digest
    with refused(Refusal.STEP_FAILED, LocalError):
        raise_refusal(effects)
