import json
import sys

import click
import pytest
from click.testing import CliRunner

from hushfleet.program.terminal import ask, config_option, json_option, print_json, state_option, yes_option


@pytest.fixture
def at_a_terminal(monkeypatch):
    def answer(*answers: bool):
        given = iter(answers)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(click, "confirm", lambda _, **__: next(given))

    return answer


def test_a_yes_goes_on_and_a_no_changes_nothing(at_a_terminal):
    at_a_terminal(True, False)
    ask("Go on?", yes=False)

    with pytest.raises(click.ClickException, match="nothing was changed"):
        ask("Go on?", yes=False)


def test_the_question_goes_to_standard_error(monkeypatch):
    @click.command()
    def command() -> None:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        ask("Go on?", yes=False)
        print_json({"done": True})

    result = CliRunner().invoke(command, input="y\n")

    assert json.loads(result.stdout) == {"done": True}
    assert "Go on?" in result.stderr


@pytest.mark.parametrize("instead", [{}, {"instead": "Look first, then add --yes."}])
def test_where_nobody_can_answer_the_refusal_says_what_to_type(monkeypatch, instead):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)

    ask("Go on?", yes=True)
    with pytest.raises(click.UsageError, match="--yes") as caught:
        ask("Go on?", yes=False, **instead)
    assert instead.get("instead", "Answer at a terminal") in caught.value.message


def test_the_options_are_what_the_command_gets(tmp_path):
    @click.command()
    @state_option("X_", "agent")
    @config_option("X_", "agent")
    @yes_option
    @json_option
    def command(**given: object) -> None:
        print_json({name: str(value) for name, value in given.items()})

    def typed(*words: str, **environment: str) -> dict[str, str]:
        return json.loads(CliRunner().invoke(command, words, env=environment).stdout)

    assert typed() == {"state": "None", "config_path": "None", "yes": "False", "as_json": "False"}
    assert typed("--json", "--yes", X_STATE=str(tmp_path), X_CONFIG="a.toml") == {
        "state": str(tmp_path), "config_path": "a.toml", "yes": "True", "as_json": "True"
    }  # fmt: skip
    assert "/etc/hushfleet/agent.toml" in CliRunner().invoke(command, ["--help"]).stdout


@pytest.mark.parametrize("text", ["plain", "two\nlines"])
def test_a_result_is_one_line(capsys, text):
    print_json({"text": text})

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"text": text}
