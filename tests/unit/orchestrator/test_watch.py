"""The view of `status --watch`: what it shows, in 60 columns, without colour, and until Ctrl-C."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from hushfleet.cli import ExitCode
from hushfleet.errors import Refusal
from hushfleet.program.contract import Contract, Feature
from hushfleet.wire import Presence, Readiness
from models import catalogue
from orchestrator.store.reports import reading
from orchestrator.watch import watch
from tests.support.fleet import allowing, make_fleet
from tests.support.fleet.orchestrator import TypedOrchestrator
from tests.support.jobs import job_fleet, write_job

FLEET = job_fleet(budget_nano_rho=10**10)
ROOT = FLEET.parties.owner.root.verify_key


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    return TypedOrchestrator(tmp_path, FLEET, monkeypatch, capsys)


def shown(typed, console, **options: object) -> str:
    with reading(typed.state, ROOT) as reports:
        watch(console, typed.joined.joined(), reports, **options)
    return console.file.getvalue()


def test_a_view_fits_sixty_columns_without_colour(typed, tmp_path):
    typed.type("run", write_job(tmp_path))
    text = shown(typed, Console(file=io.StringIO(), width=60))

    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 60
    for name in FLEET.names:
        assert name in text
    assert "job tiny: done, 2 rounds released" in text


def test_it_shows_what_devices_say_and_nothing_else_of_them(typed, tmp_path):
    told = Readiness(Refusal.MODEL_ABSENT, 5 * 10**8, 1, "north bench")
    typed.others.say(FLEET.names[:1], presence=Presence.IDLE, number=2, readiness=told)
    typed.others._said = {FLEET.names[0]}
    typed.type("run", write_job(tmp_path))

    code, out, _ = typed.type("status", "--watch")

    assert code == ExitCode.DONE
    (line,) = [one for one in out.splitlines() if one.startswith(FLEET.names[0])]
    assert "9.5" not in line
    assert " 0.5 " in line
    assert "stays out: model-absent" in " ".join(out.split())
    assert "certificate expired" in " ".join(out.split())
    assert "north bench" in " ".join(out.split())
    listed = typed.json("devices")["devices"][0]
    assert (listed["stays_out"], listed["shown"], listed["rho_left_nano"]) == ("model-absent", "north bench", 5 * 10**8)
    assert listed["certificate_days"] < 0


def test_on_a_terminal_it_renews_itself_until_ctrl_c(typed):
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    assert "no job yet" in shown(typed, console, pause=pause)
    assert len(pauses) == 3


class TestNewJob:
    def test_it_fits_roster_policy_and_budget_and_passes_the_check(self, typed, tmp_path):
        path = tmp_path / "fresh.toml"

        made = typed.json("job", "new", "--model", "softmax:4x2", "--out", path)

        checked = typed.json("check", path)
        assert (checked["job"], checked["rounds"], checked["rho_nano"]) == ("fresh", 8, made["rho_nano"])
        left = min(one["rho_left_nano"] for one in checked["devices"])
        assert 0.2 * left < 8 * checked["rho_nano"] <= 0.3 * left or checked["rho_nano"] * 8 < 0.2 * left
        assert "# released models" in path.read_text()

    def test_it_leaves_a_file_that_is_there_as_it_is(self, typed, tmp_path):
        (tmp_path / "job.toml").write_text("mine")

        code, _, err = typed.type("job", "new", "--model", "softmax:4x2", "--out", tmp_path / "job.toml")

        assert code == ExitCode.FAILED
        assert "name another with --out" in err
        assert (tmp_path / "job.toml").read_text() == "mine"

    def test_a_model_that_the_owner_did_not_allow_is_refused_with_those_that_are(self, typed, tmp_path):
        code, _, err = typed.type("job", "new", "--model", "softmax:5x2", "--out", tmp_path / "job.toml")

        assert code != ExitCode.DONE
        assert "It allows: softmax:4x2" in err
        assert not (tmp_path / "job.toml").exists()

    @pytest.mark.parametrize("model", ["softmax@data/flats.contract", "mlp@data/flats.contract:5x4:tanh"])
    def test_a_data_contract_stands_in_it_and_says_the_shape(self, model, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        Path("data").mkdir()
        Path("data/flats.contract").write_text(FLATS.to_text())
        typed = TypedOrchestrator(tmp_path, contract_fleet(model), monkeypatch, capsys)

        values = typed.json("job", "new", "--model", model, "--out", "fresh.toml")["values"]

        checked = typed.json("check", "fresh.toml")
        assert (checked["model"], checked["values"]) == (model.replace("data/flats.contract", "flats"), values)
        assert 'contract = "data/flats.contract"' in Path("fresh.toml").read_text()


FLATS = Contract("flats", (Feature("area"), Feature("rooms"), Feature("floor")), "let", ("no", "yes"))


def contract_fleet(model):
    return make_fleet(policy={"models": allowing(catalogue.architecture(model))}, job={"architecture": catalogue.architecture(model)})
