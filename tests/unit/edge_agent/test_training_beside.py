"""Training beside everything else, on an executor that runs when the test says so."""

import pytest

from hushfleet.codec import encode
from hushfleet.errors import DataError, Refusal
from hushfleet.rounds.device import Idle, Working
from hushfleet.rounds.effects import Refused, ZeroContributed
from hushfleet.wire import Inbox, KeyShareDelivery, Kind, Presence, encode_signed
from hushfleet.wire.topics import subscription
from models import catalogue
from tests.support.fleet import allowing, make_fleet
from tests.support.fleet.agent import FLEET, FLEET_NAME, NAME, TRAINER, AgentOnALink, OnDemand


@pytest.fixture
def bench(tmp_path):
    bench = AgentOnALink(tmp_path, executor=OnDemand())
    yield bench
    bench.store.close()


def test_a_member_answers_while_it_trains(bench):
    plan = bench.announce()
    assert (type(bench.agent.state), bench.agent.training) == (Working, True)

    bench.publish(Kind.INBOX, encode(Inbox(KeyShareDelivery(FLEET.grants[NAME]))), device=NAME, chunk=0)
    bench.publish(Kind.REQUEST, encode(FLEET.request(plan, FLEET.bodies(plan))), number=1, chunk=0)
    bench.agent.pump()

    assert len(bench.arrived(Kind.PARTIAL)) == 1
    assert isinstance(bench.agent.state, Working)
    bench.executor.run()
    assert bench.agent.pump() == 0
    assert len(bench.arrived(Kind.CONTRIBUTION)) == 1
    assert (bench.agent.presence, bench.agent.training) == (Presence.SENT, False)


def test_nothing_is_contributed_or_charged_before_training_ends(bench):
    bench.announce()
    bench.agent.pump()

    assert bench.arrived(Kind.CONTRIBUTION) == []
    assert bench.store.ledger().events == ()


def test_a_later_round_takes_the_place_of_one_that_waits(bench):
    bench.announce()
    bench.announce(FLEET.plan(2))
    first, second = (future for future, _, _ in bench.executor.tasks)

    assert first.cancelled()
    bench.executor.run(1)
    bench.agent.pump()
    (sealed,) = bench.arrived(Kind.CONTRIBUTION)
    assert second.done()
    assert FLEET.unsealed(FLEET.plan(2), NAME, sealed)
    assert bench.store.ledger().find(FLEET.roster.key_id, 1) is None


def test_a_training_that_a_later_round_overtook_is_dropped(bench):
    bench.announce()
    future, fn, args = bench.executor.tasks[0]
    future.set_running_or_notify_cancel()  # it runs: nobody can stop it
    bench.announce(FLEET.plan(2))
    future.set_result(fn(*args))
    bench.agent.pump()

    assert bench.arrived(Kind.CONTRIBUTION) == []
    bench.executor.run(1)
    bench.agent.pump()
    assert len(bench.arrived(Kind.CONTRIBUTION)) == 1
    assert [event.round_number for event in bench.store.ledger().events] == [2]


def test_after_a_restart_amid_training_the_round_starts_anew(bench):
    bench.announce()
    bench.restart()
    bench.agent.pump()
    bench.executor.run(1)
    bench.agent.pump()

    assert len(bench.arrived(Kind.CONTRIBUTION)) == 1
    assert len(bench.store.ledger().events) == 1


def test_data_that_cannot_be_read_become_zero_plus_noise(bench):
    def unreadable():
        raise DataError(Refusal.DATA_EMPTY, "no rows")

    bench.read_data = unreadable
    bench.restart()
    bench.announce()
    bench.executor.run()
    bench.agent.pump()

    assert len(bench.arrived(Kind.CONTRIBUTION)) == 1
    assert any(isinstance(report, ZeroContributed) and "no rows" in report.reason for report in bench.reports)


def test_a_trainer_is_found_for_a_plan_that_waited_for_its_roster(tmp_path):
    bench = AgentOnALink(tmp_path, configured=False)
    bench.publish(Kind.ROSTER, bench.signed(FLEET.roster), number=1, chunk=0)
    newer = FLEET.newer()
    bench.publish(Kind.MODEL, FLEET.model.to_bytes(), digest=FLEET.model.digest.hex(), chunk=0)
    bench.publish(Kind.PLAN, bench.signed(newer.plan()))
    bench.agent.pump()
    assert bench.arrived(Kind.CONTRIBUTION) == []

    bench.publish(Kind.ROSTER, bench.signed(newer.roster), number=2, chunk=0)
    bench.agent.pump()

    assert len(bench.arrived(Kind.CONTRIBUTION)) == 1
    bench.store.close()


class Builds(list):
    """Notes the names that trainers are built of."""

    def __init__(self, monkeypatch, build) -> None:
        monkeypatch.setattr(catalogue, "built_in", lambda name: self.append(name) or build(name))


OF_ANOTHER_POLICY = make_fleet(job={"architecture": TRAINER.architecture})
OF_ANOTHER_OWNER = make_fleet(policy={"models": allowing(TRAINER.architecture)}, job={"architecture": TRAINER.architecture}, seed=b"other")


@pytest.mark.parametrize(
    ("roster", "plan"),
    [
        (None, encode_signed(FLEET.plan().signed)),
        (FLEET.roster, b"garbage"),
        (FLEET.roster, encode_signed(OF_ANOTHER_OWNER.plan().signed)),
        (OF_ANOTHER_POLICY.roster, encode_signed(OF_ANOTHER_POLICY.plan().signed)),
    ],
    ids=["no roster", "garbage", "another orchestrator", "not allowed"],
)
def test_nobody_but_owner_and_orchestrator_makes_a_device_build_a_trainer(tmp_path, monkeypatch, roster, plan):
    builds = Builds(monkeypatch, catalogue.built_in)
    bench = AgentOnALink(tmp_path, configured=False)
    if roster is not None:
        bench.publish(Kind.ROSTER, bench.signed(roster), number=1, chunk=0)
    bench.publish(Kind.PLAN, plan)
    assert bench.agent.pump() == 1 + (roster is not None)
    assert builds == []
    bench.store.close()


def test_the_owners_and_orchestrators_plan_builds_the_trainer_that_it_names_once(tmp_path, monkeypatch):
    builds = Builds(monkeypatch, catalogue.built_in)
    bench = AgentOnALink(tmp_path, configured=False)
    for number in (1, 2):
        bench.announce(FLEET.plan(number))

    assert len(bench.arrived(Kind.CONTRIBUTION)) == 2
    assert builds == ["softmax:4x2"]
    bench.store.close()


def test_a_device_without_a_trainer_stays_out_and_pays_nothing(tmp_path, monkeypatch):
    Builds(monkeypatch, lambda _: None)
    bench = AgentOnALink(tmp_path, configured=False)
    bench.announce()

    (refusal,) = [report.error for report in bench.reports if isinstance(report, Refused)]
    assert refusal.reason is Refusal.MODEL_ABSENT
    assert "agent.toml" in refusal.next_step
    assert (type(bench.agent.state), bench.agent.presence, bench.agent.round) == (Idle, Presence.IDLE, 1)
    assert bench.arrived(Kind.CONTRIBUTION) == []
    assert bench.store.ledger().events == ()
    assert subscription(FLEET_NAME, Kind.MODEL, digest=FLEET.model.digest.hex()) not in bench.link.patterns
    bench.store.close()


def test_what_cannot_be_sent_is_sent_after_the_next_connection(bench):
    bench.announce()
    away = bench.broker.connect(NAME)
    writable, away._writable = away._writable, ()
    bench.executor.run()
    bench.agent.pump()
    assert bench.arrived(Kind.CONTRIBUTION) == []
    assert f"{NAME} may not publish" in bench.texts()

    away._writable = writable
    bench.agent.connect()

    assert len(bench.arrived(Kind.CONTRIBUTION)) == 1
