"""The house itself: every package says what lives in it, and nothing pulls in what it must not."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP_LEVEL = ("hushfleet", "models", "edge_agent", "orchestrator", "provisioning", "simulation")
PACKAGES = sorted(path for name in TOP_LEVEL for path in (ROOT / name).rglob("__init__.py"))
HEAVY = {"numpy", "onnxruntime", "paho", "sklearn", "scipy", "gmpy2", "phe", "nacl", "rich", "sqlalchemy", "dp_accounting"}
_LEAST_DOCSTRING = 60


def says_what_lives_there(source: str) -> bool:
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return len(docstring) >= _LEAST_DOCSTRING and docstring.rstrip().endswith((".", ":", "`"))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_a_package_says_what_lives_in_it(package: Path) -> None:
    assert says_what_lives_there(package.read_text())


@pytest.mark.parametrize("source", ["", '"""..."""', '"""The models."""', "X = 1"])
def test_an_empty_word_is_not_a_docstring(source: str) -> None:
    assert not says_what_lives_there(source)


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for name in TOP_LEVEL for path in (ROOT / name).rglob("*.py")}

    assert folders == {package.parent for package in PACKAGES}


@pytest.mark.parametrize("already_set", ["0", None])
def test_models_turns_the_telemetry_of_onnxruntime_off(already_set: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"ORT_DISABLE_TELEMETRY": already_set} if already_set else {}

    assert _in_python("import models, os; print(os.environ['ORT_DISABLE_TELEMETRY'])", environment) == "1"


def test_the_help_loads_nothing_heavy() -> None:
    loaded = set(json.loads(_in_python(LOADED_BY_HELP).splitlines()[-1]))

    assert not loaded & HEAVY
    assert not loaded & (set(TOP_LEVEL) - {"hushfleet"})
    assert "click" in loaded


LOADED_BY_HELP = """
import json, sys
from hushfleet.cli import run
assert run(["--help"]) == 0
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


RIDDLE = re.compile(r"(What|Whatever|Who|Whose|Whom|Which|How|Whether|Where|When|Why)\b")
PLAIN = (
    *(f"hushfleet/{room}" for room in ("aggregation", "audit", "documents", "encryption", "link", "owner", "privacy", "program")),
    *(f"hushfleet/{room}" for room in ("sharing", "system", "training", "wire")),
    *(f"hushfleet/{file}.py" for file in ("cli", "codec", "errors", "ids", "labels", "randomness", "signing", "__init__")),
    *(f"hushfleet/{room}" for room in ("rounds", "schemes")),
    "edge_agent",
    "models",
    "orchestrator",
    "provisioning",
    "simulation",
)


def riddles(source: str) -> list[str]:
    """First lines of docstrings that begin with a question word instead of naming the thing."""
    tree = ast.parse(source)
    texts = [node.value.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return [text.splitlines()[0] for text in texts if isinstance(text, str) and RIDDLE.match(text)]


@pytest.mark.parametrize("room", PLAIN)
def test_a_docstring_names_the_thing_first(room: str) -> None:
    path = ROOT / room
    found = {str(file): riddles(file.read_text()) for file in (path.rglob("*.py") if path.is_dir() else [path])}

    assert found
    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        '"""What it does."""',
        'def f() -> bool:\n    """Whether it does."""',
        'X = 1\n"""How many."""',
        'class A:\n    """Who\n\n    knows."""',
    ],
)
def test_a_riddle_would_be_found(source: str) -> None:
    assert len(riddles(source)) == 1


@pytest.mark.parametrize("source", ['"""The number of rows."""', '"""True if it does."""', 'X = "What"', '"""Whole rows."""'])
def test_a_plain_docstring_is_no_riddle(source: str) -> None:
    assert riddles(source) == []


def unfound(source: str) -> set[str]:
    """Names imported from `tests.support` that no module there binds."""
    wanted = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests.support")
    ]
    return {f"{node.module}.{one.name}" for node in wanted for one in node.names if not _binds(str(node.module), one.name)}


def _binds(module: str, name: str) -> bool:
    path = ROOT / module.replace(".", "/")
    if (path / f"{name}.py").exists():
        return True
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.exists() and name in _bound(ast.parse(file.read_text()))


def _bound(tree: ast.AST) -> set[str]:
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    found |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return found | {
        one.asname or one.name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for one in node.names
    }


def test_tests_take_from_their_support_what_is_there() -> None:
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]

    assert {str(file): names for file in files if (names := unfound(file.read_text()))} == {}


@pytest.mark.parametrize("source", ["from tests.support.nowhere import make_fleet", "from tests.support.fleet import no_fleet"])
def test_a_helper_that_is_gone_would_be_found(source: str) -> None:
    assert len(unfound(source)) == 1


def _in_python(code: str, environment: dict[str, str] | None = None) -> str:
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return result.stdout.strip()
