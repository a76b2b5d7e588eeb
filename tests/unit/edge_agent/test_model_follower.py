"""An agent keeps what its fleet released: verified, three versions of a job, whole after a crash at any point."""

import json
import shutil

import numpy as np
import pytest

from edge_agent import kept_models
from edge_agent.kept_models import CARD, VALUES, KeptModels
from edge_agent.model_follower import ModelFollower
from hushfleet.documents import Outcome, sign_record
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.rounds.effects import Refused
from hushfleet.training import GlobalModel
from hushfleet.wire import Kind, Topic, encode_signed
from hushfleet.wire.topics import subscription
from tests.support.fleet import changed
from tests.support.fleet.agent import FLEET, FLEET_NAME, TRAINER, AgentOnALink, released
from tests.support.refusals import refused


@pytest.fixture
def bench(tmp_path):
    bench = AgentOnALink(tmp_path, follows=True, member=False)
    bench.publish(Kind.ROSTER, encode_signed(FLEET.roster.signed), number=1, chunk=0)
    bench.agent.pump()
    yield bench
    bench.store.close()


def run_of(bench, count, *, first=1, before=None):
    """Release versions one after the other, each made from the one before."""
    for version in range(first, first + count):
        record, model = released(version, before=before)
        bench.release(record, model)
        before = model
    return before


def kept(bench):
    return KeptModels(bench.folder)


def versions(bench):
    return [(one.card.job, one.card.version) for one in kept(bench).versions()]


def test_a_released_model_is_current_with_its_card(bench):
    record, model = released(1)
    bench.release(record, model)

    found = kept(bench).current()
    assert (found.card.job, found.card.version, found.card.model) == ("softmax-4x2-1", 1, "softmax:4x2")
    assert (found.card.parameters, found.card.round, found.card.contributors) == (model.digest.hex(), 1, 2)
    with np.load(found.folder / VALUES) as arrays:
        parts = TRAINER.architecture.split(model.parameters)
        assert {name: arrays[name].tolist() for name in arrays.files} == {name: part.tolist() for name, part in parts.items()}
    pointer = json.loads((kept(bench).folder / "current.json").read_text())
    assert pointer == {"job": "softmax-4x2-1", "version": 1, "folder": "softmax-4x2-1/00000001"}


def test_the_epsilon_of_a_card_is_that_of_all_releases_up_to_it(bench):
    record, model = released(1)
    bench.release(record, model)
    second = released(2, before=model)
    bench.release(*second)

    first, later = kept(bench).versions()[1].card.epsilon, kept(bench).versions()[0].card.epsilon
    assert 0 < first < later


def test_without_privacy_a_card_tells_no_epsilon(bench):
    bench.release(*released(1, rho_nano=0))

    assert kept(bench).current().card.epsilon is None


def test_the_newest_three_versions_stay(bench):
    run_of(bench, 5)

    assert versions(bench) == [("softmax-4x2-1", number) for number in (5, 4, 3)]


def test_a_pinned_version_stays_in_use_and_on_disk(bench):
    before = run_of(bench, 1)
    kept(bench).pin(kept(bench).current())
    run_of(bench, 4, first=2, before=before)

    assert kept(bench).current().card.version == 1
    assert json.loads((kept(bench).folder / "current.json").read_text())["version"] == 1
    kept(bench).unpin()
    assert kept(bench).current().card.version == 5
    assert json.loads((kept(bench).folder / "current.json").read_text())["version"] == 5


def test_a_version_that_is_not_there_cannot_be_pinned(bench):
    run_of(bench, 1)

    with refused(Refusal.MODEL_NONE, LocalError):
        kept(bench).pin(kept(bench).find(7))
    assert kept(bench).current().card.version == 1


def test_before_the_first_release_there_is_none(bench):
    with refused(Refusal.MODEL_NONE, LocalError):
        kept(bench).current()


def test_a_job_that_begins_anew_is_another_job(bench):
    run_of(bench, 3)
    bench.release(*released(1, round=9))

    assert versions(bench)[0] == ("softmax-4x2-2", 1)
    assert len(versions(bench)) == 4


def test_releases_that_were_missed_are_no_other_job(bench):
    run_of(bench, 1)
    bench.release(*released(4))

    assert versions(bench) == [("softmax-4x2-1", 4), ("softmax-4x2-1", 1)]


def test_a_device_that_was_away_takes_the_model_in_force_from_an_aborted_round(bench):
    _, model = released(3)
    aborted, _ = released(3, before=model, round=5, outcome=Outcome.ABORTED, rho_nano=0)
    bench.release(aborted, model)

    assert versions(bench) == [("softmax-4x2-1", 3)]
    bench.release(*released(4, before=model, round=6))
    assert versions(bench)[0] == ("softmax-4x2-1", 4)


def test_the_topic_of_a_model_is_listened_to_while_it_is_fetched_only(bench):
    record, model = released(1)
    topic = subscription(FLEET_NAME, Kind.MODEL, digest=model.digest.hex())
    bench.publish(Kind.RECORD, encode_signed(signed(record)), number=1, chunk=0)
    bench.agent.pump()
    assert topic in bench.link.patterns

    bench.publish(Kind.MODEL, model.to_bytes(), digest=model.digest.hex(), chunk=0)
    bench.agent.pump()
    assert topic not in bench.link.patterns


def test_a_record_that_comes_before_the_roster_is_taken_with_it(tmp_path):
    bench = AgentOnALink(tmp_path, follows=True, member=False)
    bench.release(*released(1))
    assert versions(bench) == []

    bench.publish(Kind.ROSTER, encode_signed(FLEET.roster.signed), number=1, chunk=0)
    bench.agent.pump()
    assert versions(bench) == [("softmax-4x2-1", 1)]
    bench.store.close()


def test_a_device_that_does_not_train_keeps_models_too_and_pays_nothing(tmp_path):
    bench = AgentOnALink(tmp_path, follows=True, member=False, enabled=False)
    bench.publish(Kind.ROSTER, encode_signed(FLEET.roster.signed), number=1, chunk=0)
    bench.release(*released(1))

    assert kept(bench).current().card.model == "softmax:4x2"
    assert bench.store.ledger().events == ()
    bench.store.close()


def test_the_model_of_a_plan_under_way_is_fetched_for_both(bench):
    bench.announce()
    assert len(bench.arrived(Kind.CONTRIBUTION)) == 1
    record, _ = released(1, round=2)
    bench.release(changed_to(record, FLEET.model), FLEET.model)

    assert kept(bench).current().card.parameters == FLEET.model.digest.hex()


def test_after_a_restart_nothing_is_fetched_twice(bench):
    run_of(bench, 2)
    before = (kept(bench).current().folder / CARD).stat().st_ino
    bench.restart()
    bench.agent.pump()

    assert bench.agent._follower.wanted is None
    assert (kept(bench).current().folder / CARD).stat().st_ino == before
    assert not [one for one in bench.reports if isinstance(one, Refused)]


def test_a_crash_at_any_point_leaves_the_old_version_or_the_new_one(bench, monkeypatch):
    run_of(bench, 1)
    record, model = released(2)
    calls, write = 0, kept_models.write_quickly

    def until(limit):
        def counted(path, content, mode=0o600):
            nonlocal calls
            calls += 1
            if calls > limit:
                raise KeyboardInterrupt
            write(path, content, mode=mode)

        return counted

    found = []
    for limit in range(20):
        calls = 0
        copy = bench.folder / f"copy-{limit}"
        shutil.copytree(kept(bench).folder, copy / "models")
        follower = followed(copy, record)
        monkeypatch.setattr(kept_models, "write_quickly", until(limit))
        try:
            take(follower, model)
        except KeyboardInterrupt:
            monkeypatch.undo()
            assert json.loads((copy / "models/current.json").read_text())["version"] in (1, 2)
        else:
            break
        take(followed(copy, record), model)  # the agent comes back, and the record is retained
        assert KeptModels(copy).current().card.version == 2
        assert json.loads((copy / "models/current.json").read_text())["version"] == 2
        assert KeptModels(copy).current().content(VALUES)
        found.append(limit)
    monkeypatch.undo()
    assert found == [0, 1, 2]  # the values, the card, what is in use


def followed(folder, record):
    follower = ModelFollower(folder, FLEET_NAME)
    list(follower.offer(Topic(FLEET_NAME, Kind.RECORD, number=record.round, chunk=0), encode_signed(signed(record)), FLEET.roster, dict))
    return follower


def take(follower, model):
    list(follower.offer(Topic(FLEET_NAME, Kind.MODEL, digest=model.digest.hex(), chunk=0), model.to_bytes(), FLEET.roster, dict))


def test_a_full_disk_keeps_the_model_waiting_and_the_device_at_work(bench, monkeypatch):
    def full(*_: object):
        raise OSError(28, "No space left on device")

    record, model = released(1)
    with monkeypatch.context() as patched:
        patched.setattr(kept_models, "write_quickly", full)
        bench.release(record, model)
        assert "No space left" in bench.texts()
        assert bench.agent._follower.wanted == model.digest.hex()
    bench.agent._fetch_released()
    bench.agent.pump()

    assert versions(bench) == [("softmax-4x2-1", 1)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [(np.full(10, np.inf, np.float32), Refusal.MODEL_NOT_FINITE), (np.full(10, 2e4, np.float32), Refusal.MODEL_TOO_LARGE)],
)
def test_a_model_that_the_policy_does_not_allow_is_not_kept(bench, values, reason):
    data = values.astype("<f4").tobytes()
    record, _ = released(1)
    bench.publish(Kind.RECORD, encode_signed(signed(changed_to(record, sha256(data)))), number=1, chunk=0)
    bench.publish(Kind.MODEL, data, digest=sha256(data).hex(), chunk=0)
    bench.agent.pump()

    (told,) = [one.error for one in bench.reports if isinstance(one, Refused)]
    with refused(reason, PeerError):
        raise told
    assert versions(bench) == []


def test_a_file_that_was_altered_on_disk_is_not_used(bench):
    run_of(bench, 1)
    found = kept(bench).current()
    (found.folder / VALUES).write_bytes(b"other")

    with refused(Refusal.MODEL_DAMAGED, LocalError):
        found.content(VALUES)


def signed(record):
    return sign_record(record, FLEET.parties.orchestrator.signing)


def changed_to(record, model):
    return changed(record, {"model_after": model.digest if isinstance(model, GlobalModel) else model})


@pytest.mark.parametrize("name", [VALUES, CARD])
def test_what_a_power_cut_spoils_is_fetched_again(bench, name):
    run_of(bench, 2)
    (kept(bench).current().folder / name).write_bytes(b"")
    (kept(bench).folder / "current.json").write_bytes(b"")

    bench.restart()
    assert kept(bench).current().card.version == 1
    bench.agent.pump()
    assert kept(bench).current().card.version == 2
    assert kept(bench).current().content(VALUES)
    assert json.loads((kept(bench).folder / "current.json").read_text())["version"] == 2
