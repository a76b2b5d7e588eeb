"""Every import contract breaks when it is violated, directly and through a third module; the tree as it is keeps them all."""

import configparser
import shutil
import subprocess
import sys
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
CONFIG = ".importlinter"
PACKAGES = ("hushfleet", "models", "edge_agent", "orchestrator", "provisioning", "simulation")
DEALING = "hushfleet.encryption.paillier.dealing"
SECRET = "hushfleet.encryption.paillier.secret"  # noqa: S105 -- a module's name, not a password


@dataclass(frozen=True)
class Violation:
    """`importer` imports `imported`; with `through`, a new module of that name stands between the two."""

    contract: str
    importer: str
    imported: str
    through: str = ""

    def __str__(self) -> str:
        return f"{self.contract}:{self.importer}>{self.through + '>' if self.through else ''}{self.imported}"


VIOLATIONS = (
    Violation("layers", "hushfleet.errors", "hushfleet.documents"),
    Violation("layers", "hushfleet.rounds", "hushfleet.link"),
    Violation("layers", "hushfleet.sharing", "hushfleet.encryption"),
    Violation("layers", "hushfleet.privacy", "hushfleet.training"),
    Violation("layers", "hushfleet.schemes", "hushfleet.rounds", through="models.bridge"),
    Violation("library", "hushfleet.training", "models"),
    Violation("library", "hushfleet.cli", "simulation"),
    Violation("programs", "edge_agent", "orchestrator"),
    Violation("programs", "edge_agent", "models.softmax"),
    Violation("programs", "orchestrator", "provisioning", through="simulation.bridge"),
    Violation("simulation", "models", "simulation"),
    Violation("simulation", "orchestrator", "simulation", through="hushfleet.bridge"),
    Violation("orchestrator-side", "orchestrator", DEALING),
    Violation("orchestrator-side", "orchestrator", SECRET, through="models.bridge"),
    Violation("orchestrator-side", "hushfleet.audit", "hushfleet.sharing.dealing", through="hushfleet.wire.bridge"),
    Violation("orchestrator-side", "hushfleet.rounds.coordinator.machine", "hushfleet.rounds.member"),
    Violation("orchestrator-side", "hushfleet.rounds.coordinator.machine", "hushfleet.rounds.device"),
    Violation("orchestrator-side", "hushfleet.rounds.coordinator.machine", "hushfleet.schemes.paillier.member"),
    Violation("orchestrator-side", "orchestrator", "hushfleet.schemes.paillier.device"),
    Violation("orchestrator-side", "hushfleet.audit", "hushfleet.schemes.members"),
    Violation("orchestrator-side", "hushfleet.audit", "hushfleet.schemes.devices", through="hushfleet.rounds.bridge"),
    Violation("orchestrator-side", "orchestrator", "hushfleet.sharing.vectors", through="hushfleet.aggregation.bridge"),
    Violation("device-side", "edge_agent", "hushfleet.sharing.dealing"),
    Violation("device-side", "edge_agent", DEALING, through="models.bridge"),
    Violation("paillier-public", "hushfleet.encryption.paillier.public", SECRET),
    Violation("paillier-public", "hushfleet.encryption.paillier.public", DEALING, through="hushfleet.wire.bridge"),
    Violation("paillier-public", "hushfleet.encryption.paillier.knowledge", "hushfleet.encryption.paillier.share"),
    Violation("paillier-member", SECRET, DEALING),
    Violation("paillier-member", SECRET, "hushfleet.sharing.dealing", through="hushfleet.encryption.bridge"),
    Violation("paillier-dealer", DEALING, SECRET),
    Violation("paillier-dealer", DEALING, SECRET, through="hushfleet.encryption.bridge"),
    Violation("system", "hushfleet.system.durable", "hushfleet.documents"),
    Violation("owner", "edge_agent", "hushfleet.owner"),
    Violation("owner", "orchestrator", "hushfleet.owner.certificates", through="hushfleet.program.bridge"),
    Violation("offline-owner", "provisioning", "hushfleet.link.mqtt.client"),
    Violation("offline-owner", "hushfleet.owner", "hushfleet.link.memory", through="hushfleet.documents.bridge"),
    Violation("network", "hushfleet.link.memory", "paho.mqtt.client"),
    Violation("network", "edge_agent", "paho.mqtt.client"),
    Violation("onnxruntime", "orchestrator", "onnxruntime"),
    Violation("onnxruntime", "hushfleet.training", "onnxruntime"),
    Violation("onnx-run-time", "models.onnx.trainer", "onnx"),
    Violation("onnx-run-time", "edge_agent", "models.onnx.prepare", through="models.bridge"),
    Violation("onnx-run-time", "models.onnx.trainable", "models.onnx.prepare"),
    Violation("local-fleet", "simulation", "hushfleet.local_fleet"),
    Violation("local-fleet", "orchestrator", "hushfleet.local_fleet", through="models.bridge"),
    Violation("layers", "hushfleet.rounds", "hushfleet.local_fleet"),
    Violation("light-library", "hushfleet.cli", "rich"),
    Violation("light-library", "hushfleet.privacy", "scipy.stats", through="hushfleet.bridge"),
    Violation("no-scipy", "orchestrator", "dp_accounting.rdp"),
    Violation("no-scipy", "orchestrator", "scipy.special", through="models.bridge"),
    Violation("no-scipy", "edge_agent", "scipy"),
)


@pytest.mark.parametrize("violation", VIOLATIONS, ids=str)
def test_a_violation_breaks_its_contract(house: Path, violation: Violation) -> None:
    _plant(house, violation)

    result = _lint(house, "--contract", violation.contract)

    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{_contracts()[violation.contract]} BROKEN" in " ".join(result.stdout.split())


def test_the_tree_as_it_is_keeps_every_contract(house: Path) -> None:
    result = _lint(house)

    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Contracts: {len(_contracts())} kept, 0 broken." in result.stdout


def test_every_contract_has_a_violation() -> None:
    assert {violation.contract for violation in VIOLATIONS} == set(_contracts())


def test_no_module_imports_itself_by_way_of_others() -> None:
    imports = _imports()

    assert set(TopologicalSorter(imports).static_order()) == set(imports)


def test_a_circle_would_be_found() -> None:
    imports = _imports()
    imports["simulation.screen"].add("simulation.demo")

    with pytest.raises(CycleError):
        TopologicalSorter(imports).prepare()


def _imports() -> dict[str, set[str]]:
    """What each module of ours imports, at its top or late, types included."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the packages and of the contracts."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / CONFIG, tmp_path)
    return tmp_path


def _plant(house: Path, violation: Violation) -> None:
    if violation.through:
        bridge = _new_module(house, violation.through)
        bridge.write_text(f'"""A bridge."""\n\nimport {violation.imported}\n')
    importer = _source(house, violation.importer)
    importer.write_text(f"{importer.read_text()}\nimport {violation.through or violation.imported}\n")


def _source(house: Path, module: str) -> Path:
    """The file of an existing module; a contract about a module that went away must not go unnoticed."""
    base = house.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py").resolve(strict=True)


def _new_module(house: Path, module: str) -> Path:
    path = house.joinpath(*module.split(".")).with_suffix(".py")
    assert not path.exists()
    return path


def _contracts() -> dict[str, str]:
    """The contracts' names by identifier, as the configuration has them."""
    config = configparser.ConfigParser()
    config.read(ROOT / CONFIG)
    prefix = "importlinter:contract:"
    return {section.removeprefix(prefix): config[section]["name"] for section in config.sections() if section.startswith(prefix)}


def _lint(house: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", *options]
    return subprocess.run(command, cwd=house, capture_output=True, text=True, check=False)
