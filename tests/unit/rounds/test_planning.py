"""From a job's settings to a plan, and what no plan or coordinator is made of."""

from dataclasses import replace

import pytest

from hushfleet.documents import OptimizerSettings
from hushfleet.errors import LocalError, Refusal
from hushfleet.rounds.plan_check import check_plan
from hushfleet.rounds.planning import make_plan
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.schemes.paillier.profile import MOST_VALUES
from hushfleet.training import Architecture
from tests.support.fleet import make_fleet
from tests.support.refusals import refused


def test_the_plan_of_a_job_passes_the_policy_it_was_made_for():
    fleet = make_fleet()
    plan = make_plan(fleet.job, fleet.roster, fleet.progress, 3)

    check_plan(fleet.signed(plan), fleet.roster, ORCHESTRATOR_SCHEMES)
    assert (plan.round, plan.task.parameter_hash, plan.roster_hash) == (3, fleet.model.digest, fleet.roster.digest)


def test_models_that_the_scheme_was_not_made_for_are_refused_unless_asked_for():
    fleet = make_fleet()
    architecture = Architecture("large", (("w", (MOST_VALUES + 1,)),), "none", b"large")
    job = replace(fleet.job, task=replace(fleet.job.task, architecture=architecture))

    with refused(Refusal.PLAN_DIMENSION, LocalError):
        make_plan(job, fleet.roster, fleet.progress, 1)
    assert make_plan(replace(job, accept_slow=True), fleet.roster, fleet.progress, 1).dimension == MOST_VALUES + 1
    smaller = replace(architecture, shapes=(("w", (MOST_VALUES,)),))
    just_fits = replace(job, task=replace(job.task, architecture=smaller))
    assert make_plan(just_fits, fleet.roster, fleet.progress, 1).dimension == MOST_VALUES


def test_a_noise_that_no_slot_can_hold_names_what_to_change():
    fleet = make_fleet()
    with refused(Refusal.PLAN_UNREACHABLE, LocalError):
        make_plan(replace(fleet.job, noise_multiplier=100_000), fleet.roster, fleet.progress, 1)


def test_a_target_below_k_min_would_close_rounds_that_members_refuse():
    fleet = make_fleet()
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        fleet.coordinator(target=fleet.job.min_devices - 1)
    assert fleet.coordinator(target=fleet.job.min_devices).enough == fleet.job.min_devices


@pytest.mark.parametrize("settings", [OptimizerSettings("adagrad", ()), OptimizerSettings("fedavg", (("beta", 1.0),))])
def test_unknown_optimisers_and_settings_are_refused(settings: OptimizerSettings):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        replace(make_fleet().job.task, optimizer=settings).make_optimizer()
