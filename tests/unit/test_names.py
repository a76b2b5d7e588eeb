"""Names in prose exist: what a docstring or a page puts into backticks is a module, attribute, command, option, file or word of the code."""

from pathlib import Path

import pytest

from tests.support.house_names import ROOT, house, names_in, read_module

PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "systemd" / "README.md"])

ALLOWED: dict[str, str] = {}


def strange_in_module(name: str, source: str) -> set[str]:
    module = read_module(name, source)
    ticked = {one for _, text in module.docstrings for one in names_in(text)}
    return {one for one in ticked - set(ALLOWED) if not house().exists(one, module)}


def strange_in_page(text: str) -> set[str]:
    return {one for one in set(names_in(text)) - set(ALLOWED) if not house().exists(one, None)}


def source_of(name: str) -> str:
    path = ROOT / name.replace(".", "/")
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()


@pytest.mark.parametrize("name", sorted(house().modules))
def test_names_in_a_module_exist(name: str) -> None:
    assert strange_in_module(name, source_of(name)) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_on_a_page_exist(page: Path) -> None:
    assert strange_in_page(page.read_text()) == set()
