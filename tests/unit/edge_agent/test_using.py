"""docs/using.md is what the code does: its lines are commands, its files are those that are kept, its units watch what the agent writes."""

import re
from pathlib import Path

import click
import pytest

from edge_agent import kept_models
from edge_agent.cli import agent
from hushfleet.typed import PROGRAM

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/using.md").read_text()
UNITS = {name: (ROOT / "examples" / f"hushfleet-model.{name}").read_text() for name in ("path", "service")}


def command_of(line: str) -> click.Command:
    """The command that a line types; every option in it is one of its own."""
    words, command = line.split()[2:], agent
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    options = {option for one in command.params for option in one.opts}
    assert {word for word in words if word.startswith("--")} <= options
    return command


LINES = [line for line in PAGE.splitlines() if line.startswith(f"{PROGRAM} agent ")]


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_page_is_a_command(line):
    assert command_of(line).callback is not None


def test_the_page_types_every_command_that_there_is():
    there = {("model", name) for name in agent.commands["model"].commands} | {("predict",)}
    assert {tuple(line.split()[2:4] if line.split()[2] == "model" else line.split()[2:3]) for line in LINES} == there


@pytest.mark.parametrize("command", [*agent.commands["model"].commands.values(), agent.commands["predict"]], ids=lambda one: one.name)
def test_every_command_has_an_example_and_json(command):
    assert command.epilog.startswith("Example: hushfleet agent ")
    assert any("--json" in one.opts for one in command.params)


def test_the_files_of_the_page_are_those_that_are_kept():
    found = set(re.findall(r"`(?:JOB/VERSION/)?([a-z]+\.[a-z]+)` \|", PAGE))
    own = {kept_models.VALUES, kept_models.INFERENCE, kept_models.CONTRACT, kept_models.CARD}
    assert found == own | {kept_models._CURRENT}


def test_the_units_watch_what_the_agent_writes_and_run_a_command():
    assert f"/hushfleet-agent/{kept_models.FOLDER}/{kept_models._CURRENT}" in UNITS["path"]
    line = re.search(r"^ExecStart=/usr/bin/(.*)$", UNITS["service"], re.MULTILINE)[1]
    assert command_of(line).name == "export"
