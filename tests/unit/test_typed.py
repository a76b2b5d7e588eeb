"""Suggested commands: each that stands in the code exists, takes what it is given, and is for the party of the command that names it."""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from edge_agent import folder as agent
from hushfleet.cli import SUMMARIES, hushfleet, run
from hushfleet.typed import PARTY_OPTIONS, typed
from orchestrator import folder as orchestrator

ROOT = Path(__file__).parents[2]
PACKAGES = ("hushfleet", "edge_agent", "orchestrator", "provisioning", "simulation", "models")
COMMAND = re.compile(rf"\bhushfleet (?:{'|'.join(SUMMARIES)})\b")
EXAMPLE = re.compile(r"(hushfleet [^,;]+?)(?=$|,|;|\. )")
WORD = "word"
"""Stands for a word that is known only when the command is suggested."""


@dataclass(frozen=True)
class Place:
    """A piece of code."""

    file: Path
    node: ast.AST

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.node.lineno}"


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def suggestions() -> Iterator[tuple[Place, list[str]]]:
    """Every call of `typed`, with its words."""
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "typed":
                yield Place(file, node), [word for argument in node.args for word in words(argument)]


def words(argument: ast.expr) -> list[str]:
    """The words of an argument: `WORD` where the code computes it, and nothing for a tuple of the class, which stands as such below."""
    if isinstance(argument, ast.Starred):
        return []
    return [argument.value if isinstance(argument, ast.Constant) else WORD]


def tuples() -> list[tuple[str, ...]]:
    """The commands that stand in classes as tuples of words."""
    parties = (agent.StateFolder.JOIN, agent.DeviceKeys.ENROL, orchestrator.StateFolder.JOIN, orchestrator.OrchestratorKeys.ENROL)
    return [tuple(words) for words in parties]


def refused(typed_words: list[str]) -> str:
    """Why `hushfleet` would not take these words, or "" if it would."""
    context, command = click.Context(hushfleet), hushfleet
    rest = list(typed_words)
    while isinstance(command, click.Group):
        found = command.get_command(context, rest[0]) if rest else None
        if found is None:
            return f"there is no command {' '.join(typed_words)}"
        command, context = found, click.Context(found, parent=context)
        rest.pop(0)
    try:
        values, left, _ = command.make_parser(context).parse_args(list(rest))
    except click.UsageError as error:
        return error.format_message()
    if "--help" in rest:
        return ""
    said = {name for name, value in values.items() if isinstance(value, str | tuple) and value}
    missing = [one.name for one in command.params if one.required and one.name not in said]
    return f"{typed_words}: missing {missing}, too many {left}" if missing or left else ""


def literals() -> Iterator[tuple[Place, str]]:
    """Every text in the code but docstrings, examples in the help (tested below) and arguments of `typed`."""
    for file in sources():
        tree = ast.parse(file.read_text())
        spared = {id(part) for node in ast.walk(tree) for whole in spares(node) for part in ast.walk(whole)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spared:
                yield Place(file, node), node.value


def spares(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return [node]
    if isinstance(node, ast.keyword) and node.arg == "epilog":
        return [node]
    return []


def commands(group: click.Command = hushfleet, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in SUMMARIES if group is hushfleet else group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


def test_every_suggested_command_would_be_taken():
    found = [(place, refused(given)) for place, given in suggestions() if given]
    found += [("a class", refused(list(given))) for given in tuples()]
    assert len(found) > 40
    assert [f"{place}: {why}" for place, why in found if why] == []


@pytest.mark.parametrize(
    "given", [["agent", "go"], ["agent", "join"], ["agent", "status", "--nothing"], ["verify", "a", "b"], ["agent", "join", "--json"]]
)
def test_a_command_that_would_not_be_taken_is_found(given):
    assert refused(given)


def test_no_text_names_a_command_by_hand_except_in_backticks_and_those_exist():
    """A command by hand forgets the party. In backticks stands the name of a command, in prose."""
    by_hand = []
    for place, text in literals():
        for quoted in re.findall(r"`(hushfleet [^`]*)`", text):
            command: click.Command | None = hushfleet
            for word in quoted.split()[1:]:
                if isinstance(command, click.Group):
                    command = command.get_command(click.Context(command), word)
                elif word.startswith("-") and command is not None:
                    assert word in {name for one in command.params for name in one.opts}, (str(place), quoted)
            assert command is not None, (str(place), quoted)
        if COMMAND.search(re.sub(r"`[^`]*`", "", text)):
            by_hand.append(str(place))
    assert by_hand == []


def test_every_example_in_the_help_would_be_taken():
    seen = 0
    for path, command in commands():
        text = " ".join((command.epilog or "").split())
        assert "Example: " in text, path
        for example in EXAMPLE.findall(text):
            seen += 1
            given = shlex.split(re.sub(r"(?<=[\w'])\.$", "", example))[1:]
            assert refused(given) == "", (path, example)
    assert seen > 30


WITHOUT_JSON = {
    ("agent", "run"): "a service: its log is for people, `agent status --json` for programs",
    ("agent", "install"): "its --dry-run lists the actions, `agent status --service --json` the outcome",
    ("agent", "uninstall"): "as install",
}


def test_every_command_speaks_json_or_there_is_a_reason():
    without = {path for path, command in commands() if not (isinstance(command, click.Group) or speaks_json(command))}
    assert without == set(WITHOUT_JSON)


def speaks_json(command: click.Command) -> bool:
    return any("--json" in one.opts for one in command.params)


def test_readme_needs_at_most_eight_commands_from_a_clone_to_a_fleet_that_learned():
    _, _, section = (ROOT / "README.md").read_text().partition("\n## A fleet of your own, in eight commands\n")
    found = re.search(r"<!-- example: own-fleet -->\n```bash\n(.*?)^```$", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    assert found
    lines = [shlex.split(line, comments=True) for line in found[1].splitlines()]
    assert len(lines) == 8
    assert not {"&&", ";", "|", "\\"} & {word for line in lines for word in line}
    ours = [line[1:] for line in lines if line[0] == "hushfleet"]
    assert [line[0] for line in ours] == ["up", "agent", "verify", "down"]
    assert [refused(line) for line in ours] == [""] * 4


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = run(list(arguments))
    out, err = capsys.readouterr()
    return code, out + err


def test_the_party_is_kept_with_quotes_where_a_shell_needs_them(tmp_path, capsys):
    state, config = tmp_path / "my state", tmp_path / "agent.toml"
    config.write_text('[data]\nsource = "npz"\npath = "x.npz"\n')
    code, text = shown(capsys, "agent", "run", "--state", f"{state}", "--config", f"{config}")
    assert code != 0
    assert f"hushfleet agent join NAME.bundle --state '{state}' --config {config}" in text


def test_the_vault_and_its_passphrase_file_are_kept(tmp_path, capsys):
    secret = tmp_path / "passphrase"
    secret.touch(mode=0o600)
    secret.write_text("correct horse battery\n")
    request = tmp_path / "pi.request"
    request.write_bytes(b"no request")
    party = ("--vault", f"{tmp_path}/v", "--passphrase-file", f"{secret}")
    _, text = shown(capsys, "provision", "approve", f"{request}", *party)
    assert f"hushfleet provision show {request} --vault {tmp_path}/v\n" in text  # `show` asks for no passphrase
    _, text = shown(capsys, "provision", "device", "revoke", "pi-01", *party)
    assert f"hushfleet provision init NAME --vault {tmp_path}/v --passphrase-file {secret}" in text


def test_another_partys_command_is_not_given_ours(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, text = shown(capsys, "agent", "enrol", "--name", "pi-01", "--state", "here")
    assert "hushfleet provision approve pi-01.request\n" in text
    assert "hushfleet agent join pi-01.bundle --state here" in text


def test_a_command_that_cannot_take_an_option_is_not_given_it():
    assert typed("agent", "run") == "hushfleet agent run"  # nobody typed anything
    names = {name: {one.name for one in command.params} & PARTY_OPTIONS for name, command in commands()}
    assert names["agent", "enrol"] == {"state", "service"}
    assert "state" not in names["provision", "init"]
