"""One module prints: what came from elsewhere reaches a terminal through `hushfleet.program.terminal`, or it does not reach it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house_names import PACKAGES, ROOT

CODE = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PRINTERS = {
    "print",
    "click.echo",
    "click.secho",
    "click.confirm",
    "click.prompt",
    "click.echo_via_pager",
    "click.progressbar",
    "sys.stdout.write",
    "sys.stderr.write",
    "os.write",
    "logging.StreamHandler",
    "logging.basicConfig",
    "warnings.warn",
    "traceback.print_exception",
    "traceback.print_exc",
    "Console",
    "rich.print",
    "rich.get_console",
}
MAY = {
    "hushfleet/program/terminal.py": "the one printer",
    "edge_agent/logs.py": "the log, whose formatter makes every line plain",
    "models/onnx/prepare/operators.py": "a tool of the repository, which prints its own path",
}


def printing(source: str) -> Iterator[str]:
    """The calls in `source` that print."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in PRINTERS:
            yield name


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_prints(path: Path) -> None:
    assert str(path.relative_to(ROOT)) in MAY or list(printing(path.read_text())) == []


@pytest.mark.parametrize("path", MAY)
def test_an_exception_is_needed(path: str) -> None:
    assert list(printing((ROOT / path).read_text()))


@pytest.mark.parametrize("source", ["print(1)", "click.echo(text)", "Console(stderr=True)", "def f():\n    sys.stderr.write('x')"])
def test_printing_would_be_found(source: str) -> None:
    assert list(printing(source))
