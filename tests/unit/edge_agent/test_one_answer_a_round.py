"""The decryption log holds one answer a round by itself, and what it holds survives a power cut."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.store import Store
from hushfleet.codec import encode
from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.events import GrantArrived, RequestArrived, RosterArrived
from hushfleet.rounds.machine import Running
from hushfleet.rounds.member import MemberState
from hushfleet.wire import Kind, encode_signed
from tests.support.fleet import make_fleet, published
from tests.support.refusals import refused

FLEET = make_fleet(devices=8, max_devices=6)
ROOT = FLEET.parties.owner.root.verify_key
FULL = 2


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.create(tmp_path)
    yield made
    made.close()


def _member(store: Store) -> Running[MemberState]:
    state = store.member_state(ROOT)
    return Running(FLEET.member(), state, store.persist, SeededRandomness(b"member"))


def _request(number: int, first: int) -> RequestArrived:
    plan = FLEET.plan(number)
    return RequestArrived(encode(FLEET.request(plan, FLEET.bodies(plan, FLEET.names[first : first + 4]))))


def _with_share(store: Store) -> Running[MemberState]:
    member = _member(store)
    member.step(RosterArrived(encode_signed(FLEET.roster.signed)))
    member.step(GrantArrived(FLEET.grants["device-01"]))
    return member


def test_a_second_agent_on_the_folder_cannot_answer_a_second_root(store: Store, tmp_path: Path) -> None:
    one = _with_share(store)
    second = Store(tmp_path)
    other = _member(second)
    answer = published(one.step(_request(1, 0)), Kind.PARTIAL)
    with refused(Refusal.REQUEST_ROUND_LOWER, LocalError):
        other.step(_request(1, 1))
    second.close()
    kept = store.member_state(ROOT).memory.answered[FLEET.roster.key_id]
    assert [kept.sealed] == answer


def test_a_second_agent_cannot_answer_a_lower_round(store: Store, tmp_path: Path) -> None:
    one = _with_share(store)
    second = Store(tmp_path)
    other = _member(second)
    one.step(_request(2, 0))
    with refused(Refusal.REQUEST_ROUND_LOWER, LocalError):
        other.step(_request(1, 1))
    second.close()


def test_the_next_round_replaces_the_answer(store: Store) -> None:
    member = _with_share(store)
    member.step(_request(1, 0))
    answer = published(member.step(_request(2, 1)), Kind.PARTIAL)
    kept = store.member_state(ROOT).memory.answered[FLEET.roster.key_id]
    assert (kept.round, [kept.sealed]) == (2, answer)


def test_a_commit_is_durable_before_it_returns(store: Store) -> None:
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (FULL,)
