"""A device listens to a model's topic only while it fetches that model (PROTOCOL 7)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.agent import Agent, Enrolment, Work
from edge_agent.data.room import KnownRows
from edge_agent.slot import NoWaiting
from edge_agent.store import Store
from hushfleet.errors import DataError, Refusal
from hushfleet.link import MemoryBroker, Messenger
from hushfleet.rounds.coordinator.publications import plan_publication, progress_publications, roster_publication
from hushfleet.training import Architecture, Data
from hushfleet.wire import Kind
from hushfleet.wire.topics import subscription
from tests.support.fleet import ARCHITECTURE, FLEET_NAME, make_fleet

FLEET = make_fleet()


class _NeverTrained:
    architecture: Architecture = ARCHITECTURE

    def gradient(self, *_: object) -> tuple[float, object]:
        raise AssertionError("there is no data to train on")

    def check(self, *_: object) -> None:
        raise AssertionError("there is no data to check")


def _no_data() -> Data:
    raise DataError(Refusal.DATA_EMPTY, "no rows")


class _Place:
    """A device between plan and model, and the topic it listens to."""

    def __init__(self, store: Store, folder: Path) -> None:
        broker = MemoryBroker(FLEET_NAME)
        self.orchestrator = Messenger(broker.connect("orchestrator", orchestrator=True), folder / "orchestrator")
        self.link = broker.connect("device-05")
        keys = FLEET.parties.devices["device-05"]
        work = Work({ARCHITECTURE.digest: _NeverTrained()}, KnownRows(_no_data))  # type: ignore[dict-item]  # it never gets as far as its types
        messenger = Messenger(self.link, folder / "spool")
        enrolment = Enrolment(keys, FLEET_NAME, FLEET.parties.owner.root.verify_key, insecure_keys=True)
        self.agent = Agent(enrolment, store, messenger, work, now_s=NoWaiting())
        self.agent.connect()
        for publication in (roster_publication(FLEET.roster), plan_publication(FLEET.plan())):
            self.orchestrator.send(publication.topic, publication.data)
        self.agent.pump()

    @property
    def listens(self) -> bool:
        return subscription(FLEET_NAME, Kind.MODEL, digest=FLEET.model.digest.hex()) in self.link.patterns

    def model(self, data: bytes) -> None:
        self.orchestrator.send(progress_publications(FLEET_NAME, FLEET.progress)[0].topic, data)
        self.agent.pump()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[_Place]:
    store = Store.create(tmp_path)
    yield _Place(store, tmp_path)
    store.close()


def test_the_subscription_ends_when_the_model_has_come(place: _Place) -> None:
    assert place.listens
    place.model(FLEET.model.to_bytes())
    assert not place.listens


@pytest.mark.parametrize("wrong", [b"", bytes(40)])
def test_other_bytes_do_not_end_it(place: _Place, wrong: bytes) -> None:
    place.model(wrong)
    assert place.listens
    place.model(FLEET.model.to_bytes())
    assert not place.listens
