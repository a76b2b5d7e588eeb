"""Two programs with one device's identity: whoever hears the other's word stops, and says so loudly."""

from contextlib import closing

import pytest

from edge_agent.agent import Agent, Enrolment, Work
from edge_agent.daemon import Voice
from edge_agent.data.room import KnownRows
from edge_agent.slot import NoWaiting
from edge_agent.store import Store
from hushfleet.link import MemoryBroker, Messenger
from hushfleet.rounds.effects import Alert
from hushfleet.wire import Kind, Topic, encode_signed
from models import catalogue
from tests.support.fleet.agent import FLEET, FLEET_NAME, GOOD, NAME, TRAINER


class Device:
    """An agent that has said its word and heard it, and a voice with the same keys and another boot id."""

    def __init__(self, folder, store) -> None:
        broker, keys = MemoryBroker(FLEET_NAME), FLEET.parties.devices[NAME]
        self.reports = []
        self.orchestrator = Messenger(broker.connect("orchestrator", orchestrator=True), folder / "orchestrator")
        self.orchestrator.subscribe(FLEET_NAME, Kind.CONTRIBUTION)
        self.messenger = Messenger(broker.connect(NAME), folder / "spool")
        self.own, self.twin = Voice(keys, FLEET_NAME, bytes(16)), Voice(keys, FLEET_NAME, bytes([7] * 16))
        self.agent = Agent(
            Enrolment(keys, FLEET_NAME, FLEET.parties.owner.root.verify_key, insecure_keys=True),
            store,
            self.messenger,
            Work({TRAINER.architecture.digest: TRAINER}, KnownRows(lambda: GOOD), catalogue.built_in),
            report=lambda _, happening: self.reports.append(happening),
            boot_id=self.own.boot_id,
            now_s=NoWaiting(),
        )
        self.agent.connect()
        self.says(self.own)

    def says(self, voice):
        self.messenger.send(Topic(FLEET_NAME, Kind.STATUS, device=NAME), voice.signed(voice.of(self.agent)))
        self.agent.pump()

    def contributes(self):
        """Whether it contributes to a plan."""
        self.orchestrator.send(Topic(FLEET_NAME, Kind.ROSTER, number=1, chunk=0), encode_signed(FLEET.roster.signed))
        self.orchestrator.send(Topic(FLEET_NAME, Kind.MODEL, digest=FLEET.model.digest.hex(), chunk=0), FLEET.model.to_bytes())
        self.orchestrator.send(Topic(FLEET_NAME, Kind.PLAN), encode_signed(FLEET.plan().signed))
        self.agent.pump()
        return self.orchestrator.receive() is not None


@pytest.fixture
def device(tmp_path):
    with closing(Store.create(tmp_path)) as store:
        yield Device(tmp_path, store)


def test_control_a_device_that_is_alone_contributes(device):
    device.says(device.own)
    assert device.contributes()
    assert not [one for one in device.reports if isinstance(one, Alert)]


def test_one_strange_word_may_be_a_broker_put_back_to_an_earlier_state(device):
    device.says(device.twin)
    device.says(device.own)
    assert device.contributes()


def test_a_device_that_hears_its_twin_contributes_nothing_and_says_so_once(device):
    for _ in range(3):
        device.says(device.twin)
        device.says(device.own)

    assert not device.contributes()
    (alert,) = [one for one in device.reports if isinstance(one, Alert)]
    assert "another program works with this device's identity" in alert.text
