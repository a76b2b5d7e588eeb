"""A device's store is put back to every earlier commit: what it said of itself, kept by others, is read back before it contributes."""

import shutil
from contextlib import closing

import pytest

from edge_agent.agent import Agent, Enrolment, Work
from edge_agent.daemon import Voice
from edge_agent.data.room import KnownRows
from edge_agent.slot import NoWaiting
from edge_agent.store import Store
from hushfleet.errors import LocalError, Refusal
from hushfleet.link import MemoryBroker, Messenger
from hushfleet.rounds.effects import Alert, Refused
from hushfleet.wire import Kind, Topic, encode_signed
from models import catalogue
from tests.support.fleet.agent import FLEET, FLEET_NAME, GOOD, NAME, TRAINER
from tests.support.refusals import refused

ROOT = FLEET.parties.owner.root.verify_key
FILES = ("agent.db", "agent.db-wal")


class Device:
    """A device, its broker and its orchestrator's side of the link; each life has a boot id of its own."""

    def __init__(self, folder) -> None:
        self.folder, self.broker, self.boots, self.reports = folder, MemoryBroker(FLEET_NAME), 0, []
        self.orchestrator = Messenger(self.broker.connect("orchestrator", orchestrator=True), folder / "orchestrator")
        self.orchestrator.subscribe(FLEET_NAME, Kind.CONTRIBUTION)
        Store.create(folder).close()

    def live(self, plan, after_commit=lambda: None):
        """One life: connect, say what it is, read back, take the plan and contribute; then say what it has come to."""
        self.boots += 1
        self.orchestrator.send(Topic(FLEET_NAME, Kind.ROSTER, number=1, chunk=0), encode_signed(FLEET.roster.signed))
        self.orchestrator.send(Topic(FLEET_NAME, Kind.MODEL, digest=FLEET.model.digest.hex(), chunk=0), FLEET.model.to_bytes())
        self.orchestrator.send(Topic(FLEET_NAME, Kind.PLAN), encode_signed(plan.signed))
        with closing(Store(self.folder)) as store:
            keep = store.persist
            store.persist = lambda changes: (keep(changes), after_commit())
            voice = Voice(FLEET.parties.devices[NAME], FLEET_NAME, bytes([self.boots] * 16))
            messenger = Messenger(self.broker.connect(NAME), self.folder / f"spool-{self.boots}")
            agent = Agent(
                Enrolment(FLEET.parties.devices[NAME], FLEET_NAME, ROOT, insecure_keys=True),
                store,
                messenger,
                Work({TRAINER.architecture.digest: TRAINER}, KnownRows(lambda: GOOD), catalogue.built_in),
                report=lambda _, happening: self.reports.append(happening),
                boot_id=voice.boot_id,
                now_s=NoWaiting(),
            )
            agent.connect()
            for _ in range(2):
                agent.pump()
                messenger.send(Topic(FLEET_NAME, Kind.STATUS, device=NAME), voice.signed(voice.of(agent)))
                agent.pump()
            return store.ledger().spent_nano

    def contributions(self):
        found = 0
        while (arrived := self.orchestrator.receive()) is not None:
            found += arrived.topic.kind is Kind.CONTRIBUTION
        return found


@pytest.fixture
def life(tmp_path):
    """A device that has contributed once, and copies of its store as of every commit."""
    folder = tmp_path / "device"
    folder.mkdir()
    device, copies = Device(folder), []

    def copy():
        copies.append(tmp_path / f"copy-{len(copies)}")
        copies[-1].mkdir()
        for name in FILES:
            if (folder / name).exists():
                shutil.copy(folder / name, copies[-1])

    copy()
    device.live(FLEET.plan(1), copy)
    assert device.contributions() == 1
    return device, copies


def put_back(device, copy):
    for name in FILES:
        (device.folder / name).unlink(missing_ok=True)
        if (copy / name).exists():
            shutil.copy(copy / name, device.folder)


def test_put_back_to_any_commit_before_its_contribution_it_stops_and_charges_what_it_had_said(life):
    device, copies = life
    assert len(copies) >= 3
    for copy in copies[1:-1]:
        put_back(device, copy)
        device.reports.clear()

        spent = device.live(FLEET.plan(2))

        assert device.contributions() == 0
        assert any(isinstance(one, Alert) for one in device.reports)
        with refused(Refusal.STORE_ROLLED_BACK, LocalError):
            raise next(one.error for one in device.reports if isinstance(one, Refused))
        assert spent == FLEET.policy.budget_nano_rho - (FLEET.policy.budget_nano_rho - spent) > 0


def test_put_back_to_the_last_commit_it_goes_on(life):
    device, copies = life
    put_back(device, copies[-1])

    device.live(FLEET.plan(2))

    assert device.contributions() >= 1


def test_once_recovered_it_contributes_again_and_a_second_restore_is_noticed(life):
    device, copies = life
    put_back(device, copies[-2])
    device.live(FLEET.plan(2))
    assert device.contributions() == 0

    with closing(Store(device.folder)) as store:
        assert store.recover() == (FLEET.roster.key_id,)
    device.live(FLEET.plan(9))
    assert device.contributions() == 1

    put_back(device, copies[-1])
    device.reports.clear()
    device.live(FLEET.plan(10))
    assert device.contributions() <= 1  # the bytes of its first round may go again; nothing is made for round 10
    assert any(isinstance(one, Alert) for one in device.reports)


def test_with_everything_put_back_together_nobody_can_notice(life):
    """Not claimed: a whole site, the broker with it, that goes back while somebody keeps what was sent (PROTOCOL 8)."""
    device, copies = life
    put_back(device, copies[0])
    device.broker._retained.clear()

    device.live(FLEET.plan(1))

    assert device.contributions() == 1
