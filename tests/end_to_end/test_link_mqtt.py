"""The link over a real Mosquitto with TLS, client certificates and the ACL of the topic table."""

from contextlib import ExitStack, closing

import pytest

from hushfleet.link.mqtt import MqttLink
from hushfleet.randomness import SystemRandomness
from tests.support.link_contract import DEVICE, FLEET, MEMBER, LinkContract, Sessions
from tests.support.mosquitto import Mosquitto

ORCHESTRATOR = "orchestrator"
PARTIES = {ORCHESTRATOR: {"orchestrator": True}, MEMBER: {"member": True}, DEVICE: {}}
PATIENCE_S = 20.0


@pytest.fixture
def broker(tmp_path):
    broker = Mosquitto(tmp_path / "broker", FLEET, dict(PARTIES))
    try:
        yield broker.start()
    finally:
        broker.stop()


@pytest.fixture
def connect(broker):
    """Opens links and closes them again."""
    with ExitStack() as links:

        def connect(identity, problems=None, **changes: object):
            link = MqttLink(broker.options(identity, **changes), SystemRandomness(), (problems if problems is not None else []).append)
            links.enter_context(closing(link))
            link.open()
            assert link.wait_connected(PATIENCE_S), link.problem
            return link

        yield connect


class Settled:
    """A link whose publications are at the broker when `publish` returns, so that what one session does comes before the next."""

    def __init__(self, link) -> None:
        self._link = link

    def __getattr__(self, name) -> object:
        return getattr(self._link, name)

    def publish(self, *arguments: object, **options: object):
        self._link.publish(*arguments, **options)
        assert self._link.flush(PATIENCE_S)


@pytest.fixture
def sessions(connect):
    return Sessions(*(Settled(connect(identity)) for identity in (ORCHESTRATOR, MEMBER, DEVICE)), patience_s=PATIENCE_S)


class TestMqttLink(LinkContract):
    pass
