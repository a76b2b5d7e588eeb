"""The main loop over the memory link: connections, status, committee, stop."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from edge_agent import daemon as daemon_module
from edge_agent.daemon import Daemon, Voice, report, require_64_bit
from hushfleet import __version__
from hushfleet.documents import EMPTY_JOURNAL
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.link import LinkError
from hushfleet.program.folder import Membership
from hushfleet.rounds.effects import Alert, Note, Refused
from hushfleet.system.systemd import Notifier, Watch
from hushfleet.wire import NOTHING_KNOWN, DeviceStatus, Kind, Presence, Readiness, open_status
from tests.support.fleet.agent import FLEET, FLEET_NAME, NAME, AgentOnALink, OnDemand
from tests.support.refusals import refused
from tests.support.waiting import eventually

BOOT = bytes(range(16))


class Said(Notifier):
    """Notes what systemd would hear."""

    def __init__(self) -> None:
        super().__init__({})
        self.lines = []

    def _send(self, line: str) -> None:
        self.lines.append(line)


class Desk:
    """A daemon on the bench; `connections` is what its link says."""

    def __init__(self, folder, **bench: object) -> None:
        self.bench = AgentOnALink(folder, executor=OnDemand(), connects=False, **bench)
        self.bench.orchestrator.subscribe(FLEET_NAME, Kind.STATUS)
        self.link, self.connections, self.said = self.bench.link, 1, Said()
        self.messenger = self.bench.agent._messenger
        self.messenger.link = self
        root = FLEET.parties.owner.root.verify_key.raw.hex()
        self.watch = Watch(self.said, lambda: True)
        voice = Voice(FLEET.parties.devices[NAME], FLEET_NAME, BOOT)
        membership = Membership(FLEET_NAME, NAME, root, "broker.lan", 8883)
        self.daemon = Daemon(self.bench.agent, self.messenger, membership, voice, notifier=self.said, watch=self.watch)

    def __getattr__(self, name: str) -> object:
        return getattr(self.link, name)

    def statuses(self):
        key = FLEET.parties.devices[NAME].signing.verify_key
        return [open_status(data, key, fleet=FLEET_NAME, device_id=NAME) for data in self.bench.arrived(Kind.STATUS)]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(daemon_module, "IDLE_S", 0.01)
    desk = Desk(tmp_path)
    yield desk
    desk.bench.store.close()


BUDGET = FLEET.roster.policy.budget_nano_rho
AFRESH = Readiness(None, BUDGET, 0, "")


def status(presence, number, readiness=AFRESH):
    return DeviceStatus(FLEET_NAME, NAME, presence, number, __version__, BOOT, EMPTY_JOURNAL, readiness)


def test_a_round_from_the_plan_to_the_receipt_as_everybody_may_know_it(desk):
    desk.daemon.step()
    desk.bench.announce(pump=False)
    desk.daemon.step()
    assert desk.statuses() == [status(Presence.IDLE, 0, NOTHING_KNOWN), status(Presence.WORKING, 1)]

    desk.bench.executor.run()
    desk.daemon.step()
    paid = desk.bench.store.ledger().spent_nano
    assert paid > 0
    assert desk.statuses() == [status(Presence.SENT, 1, Readiness(None, BUDGET - paid, 0, ""))]


def test_a_status_is_said_once_and_again_after_a_new_connection(desk):
    for _ in range(3):
        desk.daemon.step()
    assert len(desk.statuses()) == 1

    desk.connections = 2
    desk.daemon.step()
    assert len(desk.statuses()) == 1


def test_before_the_first_connection_nothing_is_sent(desk):
    desk.connections = 0
    desk.daemon.step()

    assert desk.statuses() == []
    assert desk.link.patterns == set()


def test_a_new_connection_sends_again_what_may_have_been_lost(desk):
    desk.daemon.step()
    desk.bench.announce(pump=False)
    desk.daemon.step()
    desk.bench.executor.run()
    desk.daemon.step()
    assert len(desk.bench.arrived(Kind.CONTRIBUTION)) == 1

    desk.connections = 2
    desk.daemon.step()

    assert len(desk.bench.arrived(Kind.CONTRIBUTION)) == 1


@pytest.mark.parametrize("connected", [True, False])
def test_what_is_overdue_goes_again_only_while_there_is_a_connection(desk, connected, monkeypatch):
    reminded = []
    monkeypatch.setattr(desk.bench.agent, "remind", lambda: reminded.append(1))
    desk.connected = connected
    desk.daemon.step()

    assert bool(reminded) is connected


def test_a_broker_that_refuses_the_status_does_not_stop_the_agent(desk, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise LinkError(Refusal.LINK_FORBIDDEN, "no")

    monkeypatch.setattr(desk.messenger, "send", refuse)
    desk.daemon.step()
    desk.daemon.step()


def test_running_says_ready_then_stops_with_an_offline_status(desk):
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(desk.daemon.run)
        eventually(lambda: "STATUS=idle, round 0" in desk.said.lines)
        desk.daemon.stop()
        running.result(20)

    assert desk.said.lines[0] == "READY=1"
    assert "STOPPING=1" in desk.said.lines
    assert desk.statuses()[-1] == status(Presence.OFFLINE, 0, NOTHING_KNOWN)


def test_every_turn_shows_that_the_loop_lives(desk):
    before = desk.watch._stepped_s
    desk.daemon.step()

    assert desk.watch._stepped_s > before


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
