"""The built wheel works inside an application that has a `models` package of its own (docs/adr/0003)."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.examples import example

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/library.md"
SOURCES = ("hushfleet", "models", "edge_agent", "orchestrator", "provisioning", "simulation")
BUILD_FILES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")
OWN_MODELS = '"""The application\'s own models."""\n\nNAME = "mine"\n'
MAIN = """
import models
assert models.NAME == "mine", models.__file__

{body}

import sys, hushfleet
assert "site-packages" in hushfleet.__file__, hushfleet.__file__
assert sys.modules["models"].NAME == "mine"
assert not {{"edge_agent", "orchestrator", "provisioning", "simulation"}} & set(sys.modules)
print("the application ran")
"""
IMPORTS = "import hushfleet.aggregation, hushfleet.encryption, hushfleet.privacy, hushfleet.sharing, hushfleet.training\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing appears in the tree and nothing left over in it gets in."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILD_FILES:
        shutil.copy(ROOT / name, source)
    _run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."], source)
    (built,) = (source / "dist").glob("*.whl")
    return built


def test_the_wheel_carries_what_it_must(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {"hushfleet/py.typed", "edge_agent/agent.toml", "edge_agent/hushfleet-agent.service", "provisioning/policy.toml"} <= set(names)
    for name in ("LICENSE", "NOTICE", "entry_points.txt"):
        assert any(path.endswith(f"/{name}") for path in names), name
    assert {path.partition("/")[0] for path in names if not path.startswith("hushfleet-")} == set(SOURCES)


def test_the_wheel_works_in_an_application_with_its_own_models(wheel: Path, tmp_path: Path) -> None:
    python = _environment(tmp_path / "environment", wheel)
    application = tmp_path / "application"
    (application / "models").mkdir(parents=True)
    (application / "models/__init__.py").write_text(OWN_MODELS)
    body = example(PAGE, "private-fleet") if PAGE.exists() else IMPORTS
    (application / "main.py").write_text(MAIN.format(body=body))

    result = _run([str(python), "main.py"], application)

    assert result.splitlines()[-1] == "the application ran"


def _environment(folder: Path, wheel: Path) -> Path:
    """A virtual environment with the wheel and, from this one, its dependencies; its interpreter."""
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder.parent)
    python = folder / "bin/python"
    _run([sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)], folder)
    # a line in a .pth file adds a folder without processing the .pth files in it: the editable install stays out
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def _run(command: list[str], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout
