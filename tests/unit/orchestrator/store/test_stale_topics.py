"""What a crash may have left at the broker is cleared at the next connection, and nothing that is in force."""

import os
from dataclasses import replace

import numpy as np
import pytest

from hushfleet.rounds.effects import KeepRoster
from hushfleet.rounds.tasks.train import own
from hushfleet.wire import Kind
from orchestrator.store.stale_topics import removals
from tests.support.fleet import make_fleet
from tests.support.fleet.stores import StoredOrchestrator, new_store

FLEET = make_fleet()


@pytest.fixture
def party(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    new_store(FLEET, tmp_path)
    party = StoredOrchestrator(FLEET, tmp_path)
    yield party
    party.store.close()


def play(party, number):
    fleet = FLEET if number == 1 else with_model(own(party.state.memory.progress).model)
    plan = fleet.plan(number, journal=party.state.memory.journal)
    values = np.full(FLEET.terms(plan).length, 5 * number)  # a second step must not undo the first
    party.go_on({name: FLEET.sealed(plan, name, FLEET.body(plan, name, values)) for name in FLEET.names[:4]}, number)


def with_model(model):
    return replace(FLEET, model=model)


def cleared(party, kind):
    return [one for one in removals(party.store) if one.topic.kind is kind]


def test_before_the_first_round_nothing_is_cleared(party):
    assert removals(party.store) == ()


def test_the_model_before_and_its_record_are_cleared_and_not_those_in_force(party):
    play(party, 1)
    first = own(party.state.memory.progress).model
    play(party, 2)

    assert {one.topic.digest for one in cleared(party, Kind.MODEL)} == {FLEET.model.digest.hex(), first.digest.hex()}
    assert [one.topic.number for one in cleared(party, Kind.RECORD)] == [1]
    assert all(one.data == b"" for one in removals(party.store))
    assert {one.clears_bytes for one in cleared(party, Kind.MODEL)} == {len(first.to_bytes())}


def test_rosters_before_the_one_in_force_are_cleared(party):
    party.store.persist((KeepRoster(FLEET.newer().roster.signed),))

    (removal,) = cleared(party, Kind.ROSTER)
    assert (removal.topic.number, removal.topic.chunk) == (1, 0)
    assert removal.clears_bytes > 0
