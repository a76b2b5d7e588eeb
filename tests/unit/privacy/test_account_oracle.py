"""The ledger's nano-rho against dp-accounting: the table of docs/privacy.md, at delta 1e-6."""

import dp_accounting
import pytest
from dp_accounting.rdp import RdpAccountant

from hushfleet.privacy.ledger import rho_nano
from hushfleet.privacy.plan_integers import derive

TABLE = [(4, 8, 3.5), (4, 50, 10.1), (8, 50, 4.5), (1, 50, 60.6)]


def epsilon(event, count):
    accountant = RdpAccountant(neighboring_relation=dp_accounting.NeighboringRelation.REPLACE_SPECIAL)
    accountant.compose(event, count)
    return accountant.get_epsilon(1e-6)


@pytest.mark.parametrize(("z", "rounds", "expected"), TABLE)
def test_what_a_derived_plan_costs_is_the_reference_table(z, rounds, expected):
    plan = derive(dimension=100_000, clip_norm=1.0, noise_multiplier=z, k_min=40, k_max=50, colluding=2)
    rho = rho_nano(plan.b2, 38, plan.variance) / 10**9
    assert rho == pytest.approx(1 / (2 * z**2), rel=1e-4)
    assert rho <= 1 / (2 * z**2) + 1e-9, "the noise is never below the one asked for"
    assert round(epsilon(dp_accounting.ZCDpEvent(rho), rounds), 1) == expected


@pytest.mark.parametrize(("z", "rounds", "expected"), TABLE)
def test_zero_concentrated_privacy_is_that_of_a_gaussian_mechanism(z, rounds, expected):
    gaussian = epsilon(dp_accounting.GaussianDpEvent(z), rounds)
    assert gaussian == pytest.approx(epsilon(dp_accounting.ZCDpEvent(1 / (2 * z**2)), rounds), rel=1e-9)
    assert round(gaussian, 1) == expected
