"""The main loop over the memory link: connections, status, committee, stop."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from edge_agent import daemon as daemon_module
from edge_agent.daemon import report, require_64_bit
from hushfleet import __version__
from hushfleet.documents import EMPTY_JOURNAL
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.link import LinkError
from hushfleet.rounds.effects import Alert, Note, Refused
from hushfleet.wire import NOTHING_KNOWN, DeviceStatus, Kind, Presence, Readiness
from tests.support.fleet.agent import BOOT, FLEET, FLEET_NAME, NAME, DaemonOnALink
from tests.support.refusals import refused
from tests.support.waiting import eventually


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(daemon_module, "IDLE_S", 0.01)
    here = DaemonOnALink(tmp_path)
    yield here
    here.bench.store.close()


BUDGET = FLEET.roster.policy.budget_nano_rho
AFRESH = Readiness(None, BUDGET, 0, "")


def status(presence, number, readiness=AFRESH, journal=EMPTY_JOURNAL):
    return DeviceStatus(FLEET_NAME, NAME, presence, number, __version__, BOOT, journal, readiness)


def test_a_round_from_the_plan_to_the_receipt_as_everybody_may_know_it(here):
    here.daemon.step()
    here.bench.announce(pump=False)
    here.daemon.step()
    assert here.statuses() == [status(Presence.IDLE, 0, NOTHING_KNOWN), status(Presence.WORKING, 1)]

    here.bench.executor.run()
    here.daemon.step()
    paid = here.bench.store.ledger().spent_nano
    assert paid > 0
    journal = here.bench.store.head()
    assert here.statuses() == [status(Presence.SENT, 1, Readiness(None, BUDGET - paid, 0, ""), journal)]
    assert journal.number == 1


def test_a_status_is_said_once_and_again_after_a_new_connection(here):
    for _ in range(3):
        here.daemon.step()
    assert len(here.statuses()) == 1

    here.connections = 2
    here.daemon.step()
    assert len(here.statuses()) == 1


def test_before_the_first_connection_nothing_is_sent(here):
    here.connections = 0
    here.daemon.step()

    assert here.statuses() == []
    assert here.link.patterns == set()


def test_a_new_connection_sends_again_what_may_have_been_lost(here):
    here.daemon.step()
    here.bench.announce(pump=False)
    here.daemon.step()
    here.bench.executor.run()
    here.daemon.step()
    assert len(here.bench.arrived(Kind.CONTRIBUTION)) == 1

    here.connections = 2
    here.daemon.step()

    assert len(here.bench.arrived(Kind.CONTRIBUTION)) == 1


@pytest.mark.parametrize("connected", [True, False])
def test_what_is_overdue_goes_again_only_while_there_is_a_connection(here, connected, monkeypatch):
    reminded = []
    monkeypatch.setattr(here.bench.agent, "remind", lambda: reminded.append(1))
    here.connected = connected
    here.daemon.step()

    assert bool(reminded) is connected


def test_a_broker_that_refuses_the_status_does_not_stop_the_agent(here, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise LinkError(Refusal.LINK_FORBIDDEN, "no")

    monkeypatch.setattr(here.messenger, "send", refuse)
    here.daemon.step()
    here.daemon.step()


def test_running_says_ready_then_stops_with_an_offline_status(here):
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(here.daemon.run)
        eventually(lambda: "STATUS=idle, round 0" in here.said.lines)
        here.daemon.stop()
        running.result(20)

    assert here.said.lines[0] == "READY=1"
    assert "STOPPING=1" in here.said.lines
    assert here.statuses()[-1] == status(Presence.OFFLINE, 0, NOTHING_KNOWN)


def test_every_turn_shows_that_the_loop_lives(here):
    before = here.watch._stepped_s
    here.daemon.step()

    assert here.watch._stepped_s > before


@pytest.mark.parametrize(
    ("happening", "level"),
    [(Note("a"), "INFO"), (Alert("a"), "ERROR"), (Refused(PeerError(Refusal.SIGNATURE, "a")), "WARNING")],
    ids=lambda value: str(value)[:8],
)
def test_what_is_reported_goes_to_the_log(happening, level, caplog, monkeypatch):
    monkeypatch.setattr(daemon_module.LOG, "propagate", True)
    caplog.set_level("DEBUG", "hushfleet.agent")
    report(NAME, happening)

    assert [record.levelname for record in caplog.records] == [level]


def test_a_32_bit_system_is_refused():
    with refused(Refusal.SYSTEM_UNSUPPORTED, LocalError):
        require_64_bit(2**31 - 1)
    require_64_bit(2**63 - 1)
