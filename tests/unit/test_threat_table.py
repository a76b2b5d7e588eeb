"""The threat model's table of attacks: each test that it names exists, and what has none says so."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "threat_model.md"
ATTACKS = ROOT / "tests" / "attacks"
_ROW = re.compile(r"\| (S[1-4]|one device) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")


def rows() -> list[tuple[str, ...]]:
    return [found.groups() for line in PAGE.read_text().splitlines() if (found := _ROW.fullmatch(line))]


def names_in(file: str) -> set[str]:
    tree = ast.parse((ATTACKS / f"test_{file}.py").read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def named(text: str) -> set[str]:
    return set(re.findall(r"\b(test_\w+)", text))


def missing(row: tuple[str, ...]) -> set[str]:
    """What a row names that is not there."""
    _, _, file, attack, control = row
    wanted = named(attack) | named(control)
    return wanted - names_in(file) if wanted else set()


def test_every_claim_has_rows() -> None:
    assert {row[0] for row in rows()} == {"S1", "S2", "S3", "S4", "one device"}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[1])
def test_every_test_that_a_row_names_exists_and_what_it_lacks_is_said(row: tuple[str, ...]) -> None:
    _, _, _, attack, control = row
    assert missing(row) == set()
    assert named(attack) or attack == "**none**"
    assert named(control) or control == "**none**" or control.startswith("itself")


def test_control_a_row_that_names_a_test_that_is_not_there_is_seen() -> None:
    assert missing(("S1", "forge", "s1_network", "test_it_cannot_forge_a_plan, test_that_never_was", "**none**")) == {"test_that_never_was"}
