"""The umbrella command: finding, loading and listing commands, and what an error becomes."""

import importlib
import json
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from hushfleet import __version__, cli
from hushfleet.cli import ENTRY_POINT_GROUP, SUMMARIES, ExitCode, run
from hushfleet.errors import BudgetError, FaultyMember, HushfleetError, LocalError, PeerError, PhaseError, Refusal

Installed = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Pretend that these entry points, and no others, are installed: name -> (value, distribution)."""

    def pretend(**commands: tuple[str, str]) -> None:
        found = [_entry_point(name, value, distribution) for name, (value, distribution) in commands.items()]
        monkeypatch.setattr(cli, "entry_points", lambda *, group: found if group == ENTRY_POINT_GROUP else [])

    return pretend


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An importable module with a click command `greet`; the module's name."""
    source = "import click\n\n@click.command()\n@click.option('--name')\ndef greet(name):\n    click.echo('hello ' + name)\n"
    (tmp_path / "a_plug_in_of_the_test.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "a_plug_in_of_the_test", raising=False)
    return "a_plug_in_of_the_test"


def test_a_plug_in_is_listed_without_being_imported(install: Installed, plug_in: str, capsys: pytest.CaptureFixture[str]) -> None:
    install(greet=(f"{plug_in}:greet", "hushfleet-greetings"), demo=("simulation.cli:demo", "hushfleet"))

    assert run(["--help"]) == ExitCode.DONE

    shown = capsys.readouterr().out
    assert "greet  From hushfleet-greetings." in shown
    assert "demo   A whole fleet on this machine" in shown
    assert plug_in not in sys.modules


def test_a_command_is_imported_when_it_is_typed(install: Installed, plug_in: str, capsys: pytest.CaptureFixture[str]) -> None:
    install(greet=(f"{plug_in}:greet", "hushfleet-greetings"))

    assert run(["greet", "--name", "device"]) == ExitCode.DONE

    assert capsys.readouterr().out == "hello device\n"


@pytest.mark.parametrize("order", [("hushfleet", "somebody"), ("somebody", "hushfleet")])
def test_a_plug_in_cannot_replace_one_of_ours(order: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = [_entry_point("verify", f"{distribution}:verify", distribution) for distribution in order]
    monkeypatch.setattr(cli, "entry_points", lambda *, group: found if group == ENTRY_POINT_GROUP else [])

    assert cli._installed()["verify"].value == "hushfleet:verify"


def test_every_command_of_ours_has_a_summary() -> None:
    registered = {point.name for point in entry_points(group=ENTRY_POINT_GROUP) if cli._is_ours(point)}

    assert registered == set(SUMMARIES)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == ExitCode.DONE
    assert capsys.readouterr().out == f"hushfleet, version {__version__}\n"


def test_no_argument_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == ExitCode.USAGE
    assert "Usage: hushfleet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "distribution", "next_step"),
    [
        ("no_such_module_anywhere:demo", "hushfleet", "pip install 'hushfleet[demo]'"),
        ("hushfleet.ids:HASH_BYTES", "hushfleet", "pip install 'hushfleet[demo]'"),
        ("no_such_module_anywhere:demo", "somebody", "ask the maker of somebody"),
    ],
)
def test_a_command_that_cannot_be_loaded_says_what_to_install(
    install: Installed, capsys: pytest.CaptureFixture[str], value: str, distribution: str, next_step: str
) -> None:
    install(demo=(value, distribution))

    assert run(["demo", "--json"]) == ExitCode.USAGE

    error = _error(capsys.readouterr().out)
    assert error["kind"] == "not-installed"
    assert error["next"] == next_step


@click.command()
@click.option("--json", is_flag=True, expose_value=False)
def late() -> None:
    """Imports its library only when it runs."""
    importlib.import_module("no_such_module_anywhere")


def test_what_is_missing_only_when_the_command_runs_is_told_alike(install: Installed, capsys: pytest.CaptureFixture[str]) -> None:
    install(orchestrator=(f"{__name__}:late", "hushfleet"))

    assert run(["orchestrator", "--json"]) == ExitCode.USAGE

    error = _error(capsys.readouterr().out)
    assert (error["kind"], error["next"]) == ("not-installed", "pip install 'hushfleet[orchestrator]'")


def test_a_typing_error_points_to_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["no-such-command"]) == ExitCode.USAGE

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "Error: No such command 'no-such-command'. [usage]\nNext: hushfleet --help\n"


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (PeerError(Refusal.SIGNATURE, "forged"), 4, "signature"),
        (FaultyMember(Refusal.PARTIAL_PROOF, 2, "wrong"), 4, "partial-proof"),
        (BudgetError(Refusal.BUDGET_EXHAUSTED, "spent"), 4, "budget-exhausted"),
        (LocalError(Refusal.LEDGER_MISSING, "gone"), 78, "ledger-missing"),
        (LocalError(Refusal.SETTINGS_INVALID, "bad"), 2, "settings-invalid"),
        (LocalError(Refusal.COMBINE_TOO_FEW, "two of three"), 75, "combine-too-few"),
        (PhaseError("not now"), 1, "phase"),
        (FileNotFoundError(2, "No such file", "job.toml"), 3, "not-found"),
        (PermissionError(13, "Permission denied", "/etc/x"), 4, "permission"),
        (ConnectionRefusedError("refused"), 75, "unreachable"),
        (TimeoutError("no answer"), 75, "unreachable"),
        (OSError(28, "No space left"), 1, "system"),
        (click.ClickException("no"), 1, "failed"),
        (click.BadParameter("no"), 2, "usage"),
        (KeyboardInterrupt(), 1, "interrupted"),
        (ZeroDivisionError("division by zero"), 1, "defect"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_an_error_becomes_a_message_and_an_exit_code(
    error: BaseException, code: int, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--json"], _failing(error)) == code

    captured = capsys.readouterr()
    assert _error(captured.out)["kind"] == kind
    assert f"[{kind}]" in captured.err
    assert ("Traceback" in captured.err) == (kind == "defect")


def test_the_next_step_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    error = HushfleetError(Refusal.ARCHIVE, "round 3 is missing", next_step="copy it again")

    assert run([], _failing(error)) == ExitCode.FAILED

    captured = capsys.readouterr()
    assert captured.err == "Error: round 3 is missing [archive]\nNext: copy it again\n"
    assert captured.out == ""


def test_a_command_may_leave_with_a_code_of_its_own() -> None:
    @click.command()
    @click.pass_context
    def refuse(ctx: click.Context) -> None:
        ctx.exit(ExitCode.REFUSED)

    assert run([], refuse) == 4


def _failing(error: BaseException) -> click.Command:
    @click.command()
    @click.option("--json", is_flag=True)
    def fail(*, json: bool) -> None:
        if json:
            click.echo("a line before the last")
        raise error

    return fail


def _error(out: str) -> dict[str, str]:
    parsed: dict[str, dict[str, str]] = json.loads(out.splitlines()[-1])
    assert list(parsed) == ["error"]
    assert set(parsed["error"]) == {"kind", "message", "next"}
    return parsed["error"]


def _entry_point(name: str, value: str, distribution: str) -> EntryPoint:
    point = EntryPoint(name, value, ENTRY_POINT_GROUP)
    vars(point)["dist"] = SimpleNamespace(name=distribution)
    return point
