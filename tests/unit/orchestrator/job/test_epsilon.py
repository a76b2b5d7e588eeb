import math

import pytest

from hushfleet.errors import LocalError, Refusal
from orchestrator.job.epsilon import epsilon
from tests.support.refusals import refused


@pytest.mark.parametrize(("z", "rounds", "expected"), [(4, 8, 3.5), (4, 50, 10.1), (8, 50, 4.5), (1, 50, 60.6)])
def test_the_reference_table(z, rounds, expected):
    assert round(epsilon(rounds * 10**9 // (2 * z * z), 1e-6), 1) == expected


@pytest.mark.parametrize("rho_nano", [10**7, 10**8, 10**9, 10**11])
@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-9])
def test_epsilon_is_at_most_the_bound_of_bun_and_steinke(rho_nano, delta):
    rho = rho_nano / 10**9
    assert 0 < epsilon(rho_nano, delta) <= rho + 2 * math.sqrt(rho * math.log(1 / delta))


def test_epsilon_grows_with_what_is_spent_and_shrinks_with_delta():
    values = [epsilon(rho_nano, 1e-6) for rho_nano in (10**7, 10**8, 10**9)]
    assert values == sorted(values)
    assert epsilon(10**8, 1e-3) < epsilon(10**8, 1e-6) < epsilon(10**8, 1e-9)


def test_nothing_spent_is_epsilon_0():
    assert epsilon(0, 1e-6) == 0.0


@pytest.mark.parametrize(("rho_nano", "delta"), [(-1, 1e-6), (1, 0.0), (1, 1.0), (1, math.nan), (1, -1e-6)])
def test_totals_and_deltas_out_of_range_have_no_epsilon(rho_nano, delta):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        epsilon(rho_nano, delta)
