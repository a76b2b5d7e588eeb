"""A record, a name, a version made elsewhere tries to steer the screen of the person who looks at it.

In the attack a reason moves the cursor over the line that says whose signature it is, and forges it. Each screen is tried with the
printer that makes text plain, where every character is shown, and without it, where the sequences reach the terminal.
"""

import io
import logging
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import edge_agent.logs
import orchestrator.console
import orchestrator.screen
from hushfleet.cli import run
from hushfleet.documents import EMPTY_JOURNAL, OptimizerSettings, Outcome, RoundRecord, sign_record
from hushfleet.documents.record import ModelResult
from hushfleet.errors import PeerError, Refusal
from hushfleet.program import terminal
from hushfleet.rounds.effects import Note, Refused
from hushfleet.wire import encode_signed
from orchestrator.console import PlainConsole
from tests.support.enrolling import found, new_vault
from tests.support.fleet import make_fleet

FORGED = "done\x1b[9B\r\x1b[2K\x9b2K\nsignature              that of this vault's orchestrator\u202e\x1b[8m"
STEERS = ("\x1b", "\x9b", "\u202e", "\nsignature              that of")

Screen = Callable[[Path, "pytest.CaptureFixture[str]"], str]


def shown_record(folder: Path, capsys: "pytest.CaptureFixture[str]") -> str:
    with new_vault(folder / "vault") as vault:
        found(vault)
    fleet = make_fleet()
    result = ModelResult(b"m" * 32, b"m" * 32, 2, OptimizerSettings("fedavg", ()))
    record = RoundRecord(
        fleet="testers", key_id=b"k" * 32, round=3, outcome=Outcome.ABORTED, reason=FORGED, plan_hash=b"p" * 32, root=b"",
        device_ids=("a",), result=result, rho_nano=5, bytes_up=6, duration_ms=7, journal=EMPTY_JOURNAL,
    )  # fmt: skip
    file = folder / "r.signed"
    file.write_bytes(encode_signed(sign_record(record, fleet.parties.orchestrator.signing)))
    assert run(["provision", "show", str(file), "--vault", str(folder / "vault")]) == 0
    return capsys.readouterr().out


def failed_command(_: Path, capsys: "pytest.CaptureFixture[str]") -> str:
    @click.command()
    def refused() -> None:
        raise PeerError(Refusal.ARCHIVE, FORGED.replace("\n", ""), next_step=FORGED)

    assert run([], refused) == 4
    return capsys.readouterr().err


def running_job(_: Path, __: "pytest.CaptureFixture[str]") -> str:
    out = io.StringIO()
    screen = orchestrator.screen.Screen(PlainConsole(file=out, force_terminal=True, no_color=True, width=500), None)  # type: ignore[arg-type] -- nothing of the job is shown
    screen.report(Note(FORGED))
    screen.report(Refused(PeerError(Refusal.SIGNATURE, FORGED)))
    return out.getvalue()


def journal(_: Path, __: "pytest.CaptureFixture[str]") -> str:
    record = logging.LogRecord("agent", logging.WARNING, "", 0, "%s", (FORGED,), None)
    return edge_agent.logs.Lines(journal=True).format(record)


SCREENS = [shown_record, failed_command, running_job, journal]


@pytest.fixture(autouse=True)
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_: False)


@pytest.mark.parametrize("screen", SCREENS)
def test_no_screen_obeys_a_foreign_text(screen: Screen, tmp_path: Path, capsys: "pytest.CaptureFixture[str]") -> None:
    text = screen(tmp_path, capsys)

    assert "\\x1b[2K" in text
    assert "\\u202e" in text
    assert [one for one in STEERS if one in text.replace("\x1b[2m", "").replace("\x1b[0m", "")] == []


@pytest.mark.parametrize("screen", SCREENS)
def test_control_without_the_printer_the_screen_obeys(
    screen: Screen, tmp_path: Path, capsys: "pytest.CaptureFixture[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (terminal, edge_agent.logs, orchestrator.screen, orchestrator.console):
        monkeypatch.setattr(module, "plain", lambda text: text)

    assert "\x1b[2K" in screen(tmp_path, capsys)
