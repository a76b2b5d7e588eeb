"""The honest round that documentation shows gives what plain federated averaging gives, up to rounding and noise."""

from dataclasses import replace

import numpy as np
import pytest

from hushfleet.documents import GrantedShare
from hushfleet.errors import FaultyOrchestrator, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.tasks.train import own
from hushfleet.rounds.walkthrough import Secrets, honest_round
from hushfleet.schemes.base import MemberKeys
from hushfleet.training import GlobalModel, LocalUpdate
from tests.support.fleet import Fleet, make_fleet, update_of, without_privacy
from tests.support.refusals import refused


def _updates(names: tuple[str, ...]) -> dict[str, LocalUpdate]:
    return {name: LocalUpdate(update_of(name.encode())) for name in names}


def _play(fleet: Fleet, updates: dict[str, LocalUpdate], seed: bytes) -> GlobalModel:
    parties = fleet.parties
    signing = {name: keys.signing for name, keys in parties.devices.items()}
    shares = [GrantedShare(share.to_bytes(fleet.dealing.public)) for share in fleet.dealing.shares]
    members = {
        index: MemberKeys(index, parties.devices[name].sealing, shares[index - 1]) for index, name in enumerate(parties.committee, start=1)
    }
    progress = honest_round(
        fleet.roster,
        Secrets(signing, parties.orchestrator.signing, members),
        fleet.job,
        fleet.progress,
        updates,
        randomness=SeededRandomness(seed),
        insecure_keys=True,
    )
    return own(progress).model


def test_without_noise_it_is_plain_federated_averaging_within_the_rounding_bound():
    fleet = without_privacy(make_fleet())
    updates = _updates(fleet.names[:5])

    model = _play(fleet, updates, b"walk")

    plain = fleet.model.parameters + np.mean([update.vector for update in updates.values()], axis=0)
    # every device moves each of its d' rounded coordinates by less than one step
    steps_per_unit = fleet.terms().plan.scale
    bound = np.sqrt(fleet.terms().padded) / steps_per_unit + 1e-5
    assert 0 < np.linalg.norm(model.parameters - plain) < bound
    assert bound < 0.3


def test_with_noise_the_release_differs_from_run_to_run():
    fleet = make_fleet()
    updates = _updates(fleet.names[:5])

    first, second = (_play(fleet, updates, seed) for seed in (b"one", b"two"))

    assert first.version == second.version == 1
    assert not np.array_equal(first.parameters, second.parameters)


@pytest.mark.parametrize("cohort", [4, 5])
def test_any_cohort_of_the_plans_size_will_do(cohort: int):
    fleet = make_fleet()

    assert _play(fleet, _updates(fleet.names[:cohort]), b"walk").version == 1


def test_a_plan_outside_the_policy_stops_before_any_update_is_touched():
    fleet = make_fleet()
    fleet = replace(fleet, job=replace(fleet.job, noise_multiplier=0, without_privacy=True))

    with refused(Refusal.PLAN_WITHOUT_PRIVACY, FaultyOrchestrator):
        _play(fleet, dict.fromkeys(fleet.names[:5]), b"walk")
