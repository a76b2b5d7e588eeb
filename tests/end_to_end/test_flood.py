"""One device floods a real Mosquitto: every honest contribution is counted nevertheless."""

from pathlib import Path

import pytest

from hushfleet.link import hearing
from tests.support.fleet.paper import make_fleet
from tests.support.flood import Fleet
from tests.support.waiting import LIMIT_S


def test_with_a_device_publishing_as_fast_as_it_can_all_others_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "UNHEARD_S", 1e9)
    world = make_fleet(devices=8, min_devices=4, max_devices=2800, key="insecure-512", policy={"budget_nano_rho": 10**10})
    *honest, flooder, _ = world.names
    with Fleet(world, tmp_path, honest).running() as fleet, fleet.flooded_by(flooder):
        while not fleet.orchestrator._hearing.unheard:
            fleet.orchestrator.pump(0.001)
        assert all(fleet.contribute(name, LIMIT_S) < LIMIT_S for name in honest)
        assert fleet.orchestrator.arrived == (len(honest), 0)
        assert fleet.orchestrator._hearing.unheard == {flooder}
        assert set(fleet.orchestrator.take_dropped()) == {flooder}
