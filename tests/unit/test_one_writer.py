"""One module writes files: what is at a path before is looked at once, in one place, and is never written through."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house_names import PACKAGES, ROOT

CODE = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
METHODS = {"write_bytes", "write_text", "touch", "symlink_to", "hardlink_to"}
CALLS = {"shutil.copy", "shutil.copyfile", "shutil.copy2", "shutil.copytree", "shutil.move", "os.symlink", "os.link", "os.mkfifo"}
MODES = set("wax+")
MAY = {
    "hushfleet/system/durable.py": "the one writer",
    "orchestrator/store/database.py": "SQLite writes its own file; it is made for this user alone before",
    "edge_agent/data/prepared.py": "rows, written in parts beside their place, in the state folder",
    "edge_agent/store.py": "SQLite writes its own file; it is made for this user alone before",
    "models/onnx/prepare/operators.py": "a tool of the repository, which writes a page",
    "hushfleet/system/storage.py": "a file that holds room free for what comes, never through a link",
    "simulation/lasting/building.py": "the folder of a fleet on this machine",
    "simulation/lasting/processes.py": "the logs of its processes",
    "simulation/broker.py": "the demo's own folder",
    "simulation/broker_fleet.py": "likewise",
    "simulation/digits.py": "likewise",
    "simulation/demo.py": "likewise",
    "simulation/faults/run.py": "the folders of one run, made for it alone",
}


def writing(source: str) -> Iterator[str]:
    """The calls in `source` that write a file, or make one."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else name
        opened = method == "open" and any(_is_mode(one) for one in (*node.args, *(word.value for word in node.keywords)))
        created = name == "os.open" and any(flag in ast.unparse(node) for flag in ("O_CREAT", "O_WRONLY", "O_RDWR"))
        saved = name == "np.savez" and ast.unparse(node.args[0]) != "buffer"
        if method in METHODS or name in CALLS or opened or created or saved:
            yield ast.unparse(node)


def _is_mode(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) <= 3 and bool(MODES & set(node.value))


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_writes_files(path: Path) -> None:
    assert str(path.relative_to(ROOT)) in MAY or list(writing(path.read_text())) == []


@pytest.mark.parametrize("path", MAY)
def test_an_exception_is_needed(path: str) -> None:
    assert list(writing((ROOT / path).read_text()))


@pytest.mark.parametrize(
    "source", ["p.write_bytes(b'')", "open(p, 'w')", "p.open('ab')", "os.open(p, os.O_CREAT)", "np.savez(path, x=1)", "p.open(mode='x')"]
)
def test_writing_would_be_found(source: str) -> None:
    assert list(writing(source))


@pytest.mark.parametrize("source", ["p.read_bytes()", "open(p)", "p.open('rb')", "os.open(p, os.O_RDONLY)", "np.savez(buffer, x=1)"])
def test_reading_is_fine(source: str) -> None:
    assert not list(writing(source))
