"""An agent that follows the roster: called to the committee, and dismissed, while it runs."""

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import replace

import pytest

from edge_agent import daemon as daemon_module
from edge_agent.config import Config, TestingSettings, TrainingChoice
from edge_agent.status import read_status
from edge_agent.store import Store
from hushfleet.codec import encode
from hushfleet.rounds.device import Working
from hushfleet.wire import Inbox, KeyShareDelivery, Kind
from tests.support.bundles import joined
from tests.support.fleet.agent import FLEET, NAME, AgentOnALink, OnDemand
from tests.support.waiting import LIMIT_S


@pytest.fixture
def bench(tmp_path):
    bench = AgentOnALink(tmp_path, member=None, executor=OnDemand())
    yield bench
    bench.store.close()


def listens(bench) -> bool:
    return any("/request/" in pattern for pattern in bench.link.patterns)


def test_before_it_has_a_roster_it_is_no_member(bench):
    assert not bench.agent.is_member
    assert not listens(bench)


def test_who_is_called_listens_from_then_on_and_goes_on_training(bench):
    plan = bench.announce()
    assert (bench.agent.is_member, type(bench.agent.state)) == (True, Working)
    assert "now on the committee" in bench.texts()

    bench.publish(Kind.INBOX, encode(Inbox(KeyShareDelivery(FLEET.grants[NAME]))), device=NAME, chunk=0)
    bench.publish(Kind.REQUEST, encode(FLEET.request(plan, FLEET.bodies(plan))), number=1, chunk=0)
    bench.agent.pump()
    assert len(bench.arrived(Kind.PARTIAL)) == 1

    bench.executor.run()
    bench.agent.pump()
    assert len(bench.arrived(Kind.CONTRIBUTION)) == 1


def test_an_answer_is_worked_out_on_the_threads_of_the_agent(tmp_path):
    with ThreadPoolExecutor(2, "answer", initializer=lambda: began.append(threading.current_thread().name)) as threads:
        began: list[str] = []
        bench = AgentOnALink(tmp_path, member=None, executor=OnDemand(), threads=threads)
        plan = bench.announce()
        bench.publish(Kind.INBOX, encode(Inbox(KeyShareDelivery(FLEET.grants[NAME]))), device=NAME, chunk=0)
        bench.publish(Kind.REQUEST, encode(FLEET.request(plan, FLEET.bodies(plan))), number=1, chunk=0)
        bench.agent.pump()
        assert len(bench.arrived(Kind.PARTIAL)) == 1
        bench.store.close()

    assert began


def test_a_restarted_member_is_one_at_once(bench):
    bench.announce()
    bench.restart()

    assert bench.agent.is_member
    assert listens(bench)


def test_who_is_dismissed_stops_listening_and_has_no_share(bench):
    bench.announce()
    bench.publish(Kind.INBOX, encode(Inbox(KeyShareDelivery(FLEET.grants[NAME]))), device=NAME, chunk=0)
    bench.agent.pump()
    assert bench.store.holds_share(FLEET.roster.key_id)

    others = replace(FLEET.parties, committee=FLEET.names[1:5])
    newer = FLEET.newer(parties=others, key_epoch=1)
    bench.publish(Kind.ROSTER, bench.signed(newer.roster), number=2, chunk=0)
    bench.agent.pump()

    assert not bench.agent.is_member
    assert not listens(bench)
    assert not bench.store.holds_share(FLEET.roster.key_id)
    assert "no longer on the committee" in bench.texts()


class Begun(Exception):
    """The agent would begin now, with these threads."""


def test_the_daemon_hands_its_agent_a_thread_for_each_core(tmp_path, monkeypatch):
    folder, _ = joined(tmp_path / "state")
    cores = len(os.sched_getaffinity(0))
    all_at_once = threading.Barrier(cores)

    def begin(*_: object, threads, **__: object):
        raise Begun(threads)

    monkeypatch.setattr(daemon_module, "_link", lambda *_: nullcontext(AgentOnALink(tmp_path / "bench", connects=False).link))
    monkeypatch.setattr(daemon_module, "Agent", begin)
    with pytest.raises(Begun) as begun:
        daemon_module.run(folder, Config(training=TrainingChoice(enabled=False), testing=TestingSettings(insecure_keys=True)))

    (threads,) = begun.value.args
    with threads:
        assert len(list(threads.map(lambda _: all_at_once.wait(LIMIT_S), range(cores)))) == cores


def test_a_box_that_only_decrypts_says_that_it_needs_no_data(tmp_path, monkeypatch):
    folder, _ = joined(tmp_path / "state")

    def begin(*_: object, **__: object):
        raise Begun

    monkeypatch.setattr(daemon_module, "_link", lambda *_: nullcontext(AgentOnALink(tmp_path / "bench", connects=False).link))
    monkeypatch.setattr(daemon_module, "Agent", begin)
    with pytest.raises(Begun):
        daemon_module.run(folder, Config(training=TrainingChoice(enabled=False), testing=TestingSettings(insecure_keys=True)))

    status = read_status(folder)
    assert status.healthy
    assert "not needed: this device does not train" in "\n".join(status.as_lines())
    assert status.as_json()["data"]["needed"] is False


def stored(folder):
    """Everything that the agent's database holds, its log too."""
    return b"".join(path.read_bytes() for path in folder.glob("agent.db*"))


class TestNewKeyEpoch:
    """Device and member follow a roster in one transaction: a share never outlives its key, on the committee or off it."""

    STAYS = FLEET.newer(key_epoch=1)
    GOES = FLEET.newer(parties=replace(FLEET.parties, committee=FLEET.names[1:5]), key_epoch=1)
    ROOT = FLEET.parties.owner.root.verify_key
    SHARE = FLEET.dealing.shares[0].to_bytes(FLEET.dealing.public)

    @pytest.fixture
    def bench(self, bench, tmp_path):
        bench.announce()
        bench.publish(Kind.INBOX, encode(Inbox(KeyShareDelivery(FLEET.grants[NAME]))), device=NAME, chunk=0)
        bench.agent.pump()
        assert self.SHARE in stored(tmp_path)
        return bench

    def take(self, bench, newer):
        bench.publish(Kind.ROSTER, bench.signed(newer.roster), number=2, chunk=0)
        bench.agent.pump()

    @pytest.mark.parametrize("newer", [STAYS, GOES], ids=["stays", "goes"])
    def test_roster_and_share_change_in_one_transaction(self, bench, tmp_path, newer):
        commits = []
        bench.store._connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        self.take(bench, newer)

        assert len(commits) == 1
        assert bench.agent.roster == newer.roster
        assert self.SHARE not in stored(tmp_path)

    @pytest.mark.parametrize("newer", [STAYS, GOES], ids=["stays", "goes"])
    def test_a_crash_before_the_commit_leaves_both_at_the_old_roster(self, bench, tmp_path, newer):
        bench.store._connection.execute("CREATE TRIGGER power BEFORE DELETE ON share BEGIN SELECT RAISE(ABORT, 'the power went'); END")
        with pytest.raises(sqlite3.IntegrityError, match="the power went"):
            self.take(bench, newer)
        assert bench.agent.roster == bench.agent._member.state.roster == FLEET.roster
        bench.store.close()
        with closing(Store(tmp_path)) as store:
            device, member = store.device_state(self.ROOT), store.member_state(self.ROOT)
            assert device.roster == member.roster == FLEET.roster
            assert member.share.data == self.SHARE
            store._connection.execute("DROP TRIGGER power")

        bench.store = Store(tmp_path)
        bench.start()
        bench.agent.pump()

        assert bench.agent.roster == newer.roster
        assert bench.agent.is_member == (newer is self.STAYS)
        assert self.SHARE not in stored(tmp_path)


def test_a_roster_that_changes_nothing_about_it_changes_nothing(bench):
    bench.announce()
    member = bench.agent._member
    bench.publish(Kind.ROSTER, bench.signed(FLEET.newer().roster), number=2, chunk=0)
    bench.agent.pump()

    assert bench.agent._member is member
