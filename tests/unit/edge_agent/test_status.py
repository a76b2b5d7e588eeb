import json

import pytest

from edge_agent.folder import StateFolder
from edge_agent.kept_models import Card, KeptModels
from edge_agent.logs import LOG, RecentProblems
from edge_agent.status import read_status
from edge_agent.store import Store
from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy import Participation, WithoutPrivacy
from hushfleet.rounds.effects import KeepContribution, KeepSeen, KeepStop
from tests.support.bundles import DEVICE, MEMBER, enrolled, joined
from tests.support.refusals import refused


def changed(folder, *changes: object):
    store = Store(folder.path)
    store.persist(changes)
    store.close()


def test_before_enrolling_it_says_what_to_do(tmp_path):
    with refused(Refusal.NOT_ENROLLED, LocalError):
        read_status(StateFolder(tmp_path))


def test_before_joining(tmp_path):
    folder, _ = enrolled(tmp_path / "state")
    status = read_status(folder)

    assert (status.device_id, status.fleet, status.roster_serial, status.rho_budget) == (MEMBER, None, None, None)
    assert "not joined yet" in "\n".join(status.as_lines())


def test_a_member_that_took_part(tmp_path):
    folder, fleet = joined(tmp_path / "state")
    key_id, budget = fleet.roster.key_id, fleet.policy.budget_nano_rho
    changed(folder, KeepSeen(key_id, 7), KeepContribution(Participation(key_id, 7, budget // 4), b"sealed"))
    status = read_status(folder)

    assert (status.fleet, status.broker, status.roster_serial, status.key_id, status.key_epoch) == (
        "testers",
        "broker.lan:8883",
        1,
        key_id.hex(),
        0,
    )
    assert (status.committee, status.key_share, status.stopped, status.round, status.waits_for_receipt) == (True, True, False, 7, True)
    assert (status.rho_spent, status.rho_budget, status.rounds_left) == (budget // 4 / 1e9, budget / 1e9, 3)
    assert "about 3 more rounds" in "\n".join(status.as_lines())
    assert "waits for its receipt" in "\n".join(status.as_lines())


def test_what_keeps_a_device_out_is_said(tmp_path):
    folder, fleet = joined(tmp_path / "state", DEVICE)
    key_id = fleet.roster.key_id
    changed(folder, KeepStop(key_id, Refusal.EQUIVOCATION, b"two headers"), KeepContribution(WithoutPrivacy(key_id, 1), b"sealed"))
    status = read_status(folder)

    assert (status.stopped, status.without_privacy, status.committee, status.rounds_left) == (True, True, False, None)
    assert "ask the owner" in "\n".join(status.as_lines())
    assert "without privacy" in "\n".join(status.as_lines())


def test_the_last_problems_and_the_running_agent_are_shown(tmp_path):
    folder, _ = joined(tmp_path / "state")
    problems = RecentProblems(folder.path)
    problems.emit(LOG.makeRecord("x", 40, "", 0, "the disk is full", (), None))

    with folder.locked():
        status = read_status(folder)

    assert status.problems[0]["text"] == "the disk is full"
    assert "the disk is full" in "\n".join(status.as_lines())
    assert status.running.startswith("process ")
    assert read_status(folder).running is None


@pytest.mark.parametrize("make", [enrolled, joined])
def test_as_json_it_is_one_object_without_secrets(tmp_path, make):
    folder, _ = make(tmp_path / "state")
    text = json.dumps(read_status(folder).as_json())

    assert json.loads(text)["device_id"] == MEMBER
    for secret in (folder.path / "device.keys", folder.tls_key):
        assert secret.read_bytes()[:32].hex() not in text


def test_the_model_in_use_is_shown(tmp_path):
    folder, fleet = joined(tmp_path / "state", DEVICE)
    assert "none released yet" in "\n".join(read_status(folder).as_lines())
    digest, date = "00" * 32, "2026-01-01T00:00:00+00:00"
    hashes = {"key_id": fleet.roster.key_id.hex(), "architecture": digest, "parameters": digest, "record": digest}
    numbers = {"version": 7, "key_epoch": 0, "round": 9, "contributors": 4, "rho_nano": 0, "epsilon": None, "delta": 1e-6}
    kept = KeptModels(folder.path)
    kept.add(Card(job="net-1", fleet="testers", model="net", loss="mse", date=date, **hashes, **numbers), {})
    kept.pin(kept.current())
    status = read_status(folder)

    assert status.as_json()["model"] == {"job": "net-1", "version": 7, "date": date, "pinned": True}
    assert f"version 7 of net-1, since {date}, pinned" in "\n".join(status.as_lines())
