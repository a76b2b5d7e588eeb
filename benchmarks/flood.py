"""One device publishing as fast as it can: how much later the contributions of the others are counted, beside the same without it.

`python -m benchmarks.flood`. A real Mosquitto with TLS, the orchestrator, the flood in a process of its own. Prints one line a figure.
"""

import platform
import statistics
import tempfile
import time
from pathlib import Path

from tests.support.fleet.paper import Fleet as PaperFleet
from tests.support.fleet.paper import make_fleet
from tests.support.flood import Fleet

DEVICES = 42
LIMIT_S = 120.0
PAUSE_S = 0.2


def main() -> None:
    """Measure without the flood, then from its first message on, then once it is not heard any more."""
    world = make_fleet(devices=DEVICES, min_devices=20, max_devices=2800, key="insecure-512", policy={"budget_nano_rho": 10**10})
    print(f"machine: {platform.machine()}, {platform.python_implementation()} {platform.python_version()}; 40 devices in turn")
    with tempfile.TemporaryDirectory() as folder:
        measure(world, Path(folder))


def measure(world: PaperFleet, folder: Path) -> None:
    """Ten devices before, fifteen from the flood's beginning on, fifteen later."""
    *honest, flooder, _ = world.names
    with Fleet(world, folder, honest).running() as fleet:
        report("without a flood", [timed(fleet, name) for name in honest[:10]])
        with fleet.flooded_by(flooder):
            report("from its beginning on", [timed(fleet, name) for name in honest[10:25]])
            report("afterwards", [timed(fleet, name) for name in honest[25:40]])
        dropped = sum(fleet.orchestrator.take_dropped().values())
        print(f"dropped unread: {dropped}; the broker dropped: {fleet.broker.log.count('dropped')}; {len(fleet.reports)} lines told")


def timed(fleet: Fleet, name: str) -> float:
    """Seconds until a device's contribution is counted, after a pause in which the orchestrator works on."""
    until = time.monotonic() + PAUSE_S
    while time.monotonic() < until:
        fleet.orchestrator.pump(0.001)
    return fleet.contribute(name, LIMIT_S)


def report(what: str, seconds: list[float]) -> None:
    """One line."""
    late = sum(one >= LIMIT_S for one in seconds)
    print(f"{what:<24} median {1000 * statistics.median(seconds):8.1f} ms  slowest {1000 * max(seconds):8.1f} ms  not counted {late}")


if __name__ == "__main__":
    main()
