"""The demo as a person types it, in a process of its own."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from hushfleet.errors import LocalError, Refusal
from simulation import demo
from simulation.outcome import Settings
from simulation.screen import DemoScreen
from tests.support.keys import load
from tests.support.refusals import refused

pytestmark = pytest.mark.xdist_group("demo")  # one default run serves all its tests

HUSHFLEET = Path(sys.executable).parent / "hushfleet"
ATTACKS = {
    "plan-noise": "all {devices} devices",
    "request-count": "all 4 committee members",
    "knowledge-proof": "the orchestrator",
    "not-enrolled": "the orchestrator",
    "seal": "the orchestrator",
    "request-second-root": "all 4 committee members",
}


def _hushfleet(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(cwd)}
    return subprocess.run([HUSHFLEET, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], str, Path]:
    folder = tmp_path_factory.mktemp("default")
    result = _hushfleet("demo", "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1]), result.stderr, folder


def test_the_json_has_what_the_contract_names(default):
    figures, _, _ = default

    assert figures["transport"] == "mosquitto"
    assert figures["scheme"] == "paillier"
    assert (figures["model"], figures["values"], figures["devices"]) == ("softmax:64x10", 650, 50)
    assert figures["committee"] == {"members": 4, "threshold": 3}
    assert (figures["key_bits"], figures["rounds_released"], figures["delta"], figures["noise_multiplier"]) == (3072, 8, 1e-6, 4.0)
    assert 5.9 < figures["bytes_up_per_value"] < 9
    assert figures["seconds"] > 0


def test_the_accuracy_and_the_epsilon_are_what_the_readme_says(default):
    figures, _, _ = default

    # fresh noise each time: 0.92 on average, the worst of a hundred simulated runs was 0.889
    assert figures["accuracy"] > 0.86
    assert figures["accuracy_without_privacy"] > 0.95
    assert 3.5 < figures["epsilon"] < 3.6


def test_every_attack_is_refused_by_whom_it_should_be_and_why(default):
    figures, _, _ = default

    assert {attack["reason"]: attack["refused_by"] for attack in figures["attacks"]} == {
        reason: who.format(devices=50) for reason, who in ATTACKS.items()
    }


def test_a_person_sees_transport_rounds_attacks_and_where_things_are(default):
    figures, seen, _ = default

    assert seen.splitlines()[0].startswith("hushfleet demo  transport: mosquitto")
    assert [line.split()[0] for line in seen.splitlines() if line.strip()[:1].isdigit()][:8] == list("12345678")
    assert seen.count("refused by") == len(ATTACKS)
    assert "verified: 8 of 8 rounds" in " ".join(seen.split())
    assert str(figures["archive"]) in seen


def test_the_archive_stands_up_to_an_outsider_and_no_secret_is_left_behind(default):
    figures, _, folder = default
    archive = Path(figures["archive"])

    checked = _hushfleet("verify", str(archive), "--root-key", str(archive / "root.pub"), "--json", cwd=folder)

    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout.splitlines()[-1])["released"] == 8
    assert [path.name for path in archive.parent.iterdir() if path.name not in ("archive", "model.npz")] == []


def test_a_small_fleet_is_attacked_too_and_keep_keeps_everything(tmp_path: Path):
    small = ("--devices", "5", "--rounds", "2", "--model", "mlp", "--transport", "memory")
    result = _hushfleet("demo", *small, "--keep", "kept", "--json", cwd=tmp_path)

    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["transport"] == "memory"
    assert {attack["reason"] for attack in figures["attacks"]} == set(ATTACKS)
    assert figures["model"] == "mlp:64x32x10"
    assert len(list((tmp_path / "kept/devices").iterdir())) == 5
    secrets = [path for path in (tmp_path / "kept/devices").rglob("*") if path.is_file()]
    assert secrets
    assert {path.stat().st_mode & 0o077 for path in secrets} == {0}
    again = _hushfleet("demo", "--devices", "5", "--rounds", "2", "--keep", "kept", cwd=tmp_path)
    assert (again.returncode, "is not empty" in again.stderr) == (2, True)


def test_a_convolutional_net_from_an_onnx_file_is_trained_by_processes_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    key, seen = load("test-2048"), io.StringIO()
    monkeypatch.setattr(demo, "deal", lambda *_, **__: key)
    settings = Settings(devices=5, rounds=2, model="lenet", keep=tmp_path / "kept", transport="mosquitto")

    result = demo.run(settings, DemoScreen(Console(file=seen), moving=False))

    assert (result.model, result.values, result.audit.released) == ("lenet", 666, 2)
    assert {attack.reason.value for attack in result.attacks} == set(ATTACKS)
    assert "as brightness" in seen.getvalue()


@pytest.mark.parametrize("wrong", [{"devices": 4}, {"rounds": 1}])
def test_settings_that_cannot_work_are_refused_before_anything_is_made(wrong: dict[str, int]):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        Settings(**wrong)


def test_an_attack_that_nobody_refuses_ends_the_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The checker must fail when the check is gone: without the proof of knowledge the copy is accepted."""
    key = load("test-2048")
    monkeypatch.setattr(demo, "deal", lambda *_, **__: key)
    monkeypatch.setattr("hushfleet.schemes.paillier.cohort.verify_batch", lambda *_: ())
    settings = Settings(devices=5, rounds=2, keep=tmp_path / "kept", transport="memory")

    with refused(Refusal.ATTACK_NOT_REFUSED, LocalError):
        demo.run(settings, DemoScreen(Console(file=io.StringIO()), moving=False))
