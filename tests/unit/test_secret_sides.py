"""At run time, too, the orchestrator's side loads no secret side: lazy exports and late imports escape a static check."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECRET_SIDES = {
    "hushfleet.encryption.paillier.dealing",
    "hushfleet.encryption.paillier.primes",
    "hushfleet.encryption.paillier.secret",
    "hushfleet.encryption.paillier.share",
    "hushfleet.encryption.ring_mask.device",
    "hushfleet.rounds.device",
    "hushfleet.rounds.member",
    "hushfleet.schemes.devices",
    "hushfleet.schemes.members",
    "hushfleet.schemes.paillier.device",
    "hushfleet.schemes.paillier.member",
    "hushfleet.schemes.shared.device",
    "hushfleet.schemes.shared.member",
    "hushfleet.sharing.dealing",
    "hushfleet.sharing.vectors",
}
DEALING = {name for name in SECRET_SIDES if name.endswith((".dealing", ".primes"))}
PROGRAM = """
import importlib, json, pkgutil, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        if not found.name.endswith(".__main__") and ".migrations." not in found.name:  # Alembic alone runs those
            importlib.import_module(found.name)
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize(
    "modules",
    [
        ["hushfleet.rounds.coordinator.machine"],
        ["hushfleet.audit"],
        ["orchestrator"],
        ["hushfleet.schemes.paillier.orchestrator", "hushfleet.schemes.shared.orchestrator", "hushfleet.schemes.orchestrators"],
        ["hushfleet.aggregation", "hushfleet.documents", "hushfleet.wire", "hushfleet.link", "hushfleet.training"],
        ["hushfleet.encryption.paillier.public", "hushfleet.encryption.paillier.partials", "hushfleet.encryption.paillier.knowledge"],
        ["hushfleet.sharing.interpolation"],
    ],
    ids=" ".join,
)
def test_the_orchestrators_side_loads_no_secret_side(modules: list[str]) -> None:
    assert _loaded_by(*modules) & SECRET_SIDES == set()


def test_a_device_and_a_member_load_no_dealing() -> None:
    loaded = _loaded_by("edge_agent", "hushfleet.rounds.device", "hushfleet.rounds.member")

    assert loaded & DEALING == set()


@pytest.mark.parametrize("secret", sorted(SECRET_SIDES))
def test_the_look_out_sees_each_secret_side(secret: str) -> None:
    assert secret in _loaded_by(secret)


def test_every_secret_side_is_looked_out_for() -> None:
    schemes = {path.parent.name for path in (ROOT / "hushfleet/schemes").glob("*/__init__.py")}

    assert {f"hushfleet.schemes.{scheme}.{side}" for scheme in schemes for side in ("device", "member")} <= SECRET_SIDES


def _loaded_by(*modules: str) -> set[str]:
    """Every module in memory after importing these with all their submodules, in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, *modules]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))
