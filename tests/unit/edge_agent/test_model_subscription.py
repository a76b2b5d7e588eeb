"""A device listens to a model's topic only while it fetches that model (PROTOCOL 7)."""

from pathlib import Path

from edge_agent.agent import Agent, Work
from edge_agent.store import Store
from hushfleet.errors import DataError, Refusal
from hushfleet.link import MemoryBroker
from hushfleet.rounds.publications import model_publication, plan_publication, roster_publication
from hushfleet.training import Architecture, Data
from hushfleet.wire import Kind, build
from hushfleet.wire.topics import subscription
from tests.support.world import ARCHITECTURE, FLEET, make_world

WORLD = make_world()


class _NeverTrained:
    architecture: Architecture = ARCHITECTURE

    def gradient(self, *_: object) -> tuple[float, object]:
        raise AssertionError("there is no data to train on")

    def check(self, *_: object) -> None:
        raise AssertionError("there is no data to check")


def _no_data() -> Data:
    raise DataError(Refusal.DATA_EMPTY, "no rows")


def test_the_subscription_ends_when_the_model_has_come(tmp_path: Path) -> None:
    broker, store = MemoryBroker(FLEET), Store.create(tmp_path)
    orchestrator, link = broker.connect("orchestrator", orchestrator=True), broker.connect("device-05")
    keys = WORLD.parties.devices["device-05"]
    work = Work({ARCHITECTURE.digest: _NeverTrained()}, _no_data)  # type: ignore[dict-item]  # it never gets as far as its types
    agent = Agent(keys, WORLD.parties.owner.root.verify_key, store, link, work, fleet=FLEET, insecure_keys=True)
    agent.connect()
    for publication in (roster_publication(WORLD.roster), plan_publication(WORLD.plan())):
        orchestrator.publish(build(publication.topic), publication.data, retain=True)
    wanted = subscription(FLEET, Kind.MODEL, digest=WORLD.model.digest.hex())
    agent.pump()
    assert wanted in link.patterns
    publication = model_publication(FLEET, WORLD.model)
    orchestrator.publish(build(publication.topic), publication.data, retain=True)
    agent.pump()
    store.close()
    assert wanted not in link.patterns
