"""Whoever sends records and models to a device: what the orchestrator did not sign, or is older, or of another fleet, is never in use."""

from collections.abc import Iterator

import pytest

from edge_agent import model_follower
from edge_agent.kept_models import KeptModels
from hushfleet.errors import FaultyOrchestrator, HushfleetError, PeerError, Refusal
from hushfleet.ids import Digest
from hushfleet.rounds.effects import Refused
from hushfleet.signing import SigningKey, VerifyKey
from hushfleet.training import GlobalModel
from hushfleet.wire import Kind, encode_signed
from tests.support.fleet.agent import FLEET, AgentOnALink, released
from tests.support.refusals import refused

STRANGER = SigningKey(bytes(range(32)))


@pytest.fixture
def device(tmp_path) -> Iterator[AgentOnALink]:
    """A device with version 3 in use."""
    device = AgentOnALink(tmp_path, follows=True, member=False)
    device.publish(Kind.ROSTER, encode_signed(FLEET.roster.signed), number=1, chunk=0)
    device.release(*released(3))
    assert in_use(device) == 3
    device.reports.clear()
    yield device
    device.store.close()


def in_use(device: AgentOnALink) -> int:
    return KeptModels(device.folder).current().card.version


def told(device: AgentOnALink) -> HushfleetError:
    return next(one.error for one in device.reports if isinstance(one, Refused))


def test_a_true_release_is_taken(device):
    device.release(*released(4, before=released(3)[1]))
    assert in_use(device) == 4


@pytest.mark.parametrize("checked", [True, False])
def test_a_record_that_another_signed(device, monkeypatch, checked):
    if not checked:
        monkeypatch.setattr(VerifyKey, "open", lambda _, __, signed: signed.content)
    device.release(*released(4), signer=STRANGER)

    assert in_use(device) == (3 if checked else 4)
    if checked:
        with refused(Refusal.SIGNATURE, PeerError):
            raise told(device)


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("changes", [{"round": 2}, {"round": 3}, {"round": 9, "key_id": bytes(32)}], ids=["older", "same", "other key"])
def test_a_record_of_an_earlier_time(device, monkeypatch, checked, changes):
    if not checked:
        monkeypatch.setattr(model_follower, "_older", lambda *_: None)
        monkeypatch.setattr(model_follower._Wanted, "age", property(lambda _: (99, 99)))
    version = 2 if changes["round"] == 2 else 7
    device.release(*released(version, **changes))

    if not checked:
        assert len(KeptModels(device.folder).versions()) == 2
        return
    assert in_use(device) == 3
    with refused(Refusal.RECORD_OLDER, FaultyOrchestrator):
        raise told(device)


@pytest.mark.parametrize("checked", [True, False])
def test_a_record_of_another_fleet_of_the_same_orchestrator(device, monkeypatch, checked):
    if not checked:
        monkeypatch.setattr(device.agent._follower, "_fleet", "meadow")
    device.release(*released(4, fleet="meadow"))

    assert in_use(device) == (3 if checked else 4)
    if checked:
        with refused(Refusal.RECORD_FLEET, FaultyOrchestrator):
            raise told(device)


@pytest.mark.parametrize("checked", [True, False])
def test_a_model_of_another_hash(device, monkeypatch, checked):
    record, model = released(4)
    if not checked:
        wanted = record.result.model_after
        monkeypatch.setattr(model_follower, "sha256", lambda _: wanted)
    other = GlobalModel(4, model.parameters + 1)
    assert other.digest != Digest(record.result.model_after)
    device.release(record, other)

    assert in_use(device) == (3 if checked else 4)
    if checked:
        with refused(Refusal.MODEL_HASH, FaultyOrchestrator):
            raise told(device)


def test_a_replay_after_a_restart_changes_nothing(device):
    before = in_use(device)
    device.restart()
    device.release(*released(2))
    assert in_use(device) == before


def test_an_aborted_round_makes_no_model(device):
    device.release(*released(4, outcome="aborted"))
    assert in_use(device) == 3
    with refused(Refusal.RECORD_OLDER, FaultyOrchestrator):
        raise told(device)
