"""What an import brings along, in a fresh interpreter: the owner's tool and the settings load no network."""

import subprocess
import sys

import pytest

PROBE = "import sys, {}; print(*sorted(name for name in sys.modules if name.split('.')[0] == 'paho' or name.startswith('hushfleet.link')))"


def network_loaded_by(module: str) -> list[str]:
    run = subprocess.run([sys.executable, "-c", PROBE.format(module)], capture_output=True, text=True, check=True)
    return run.stdout.split()


@pytest.mark.parametrize("module", ["provisioning.vault", "provisioning.cli", "hushfleet.program.settings", "hushfleet.program.terminal",
                                    "hushfleet.program.folder", "hushfleet.owner", "hushfleet.system.locks"])  # fmt: skip
def test_the_network_is_not_loaded_by(module):
    assert network_loaded_by(module) == []


def test_the_probe_sees_a_network():
    assert {"hushfleet.link.mqtt.client", "paho"} <= set(network_loaded_by("hushfleet.link.mqtt.client"))
