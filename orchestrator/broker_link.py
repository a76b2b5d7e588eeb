"""The orchestrator's link to the fleet's broker."""

from collections.abc import Callable

from hushfleet.errors import Refusal
from hushfleet.link import Link, LinkError
from hushfleet.link.mqtt.client import MqttLink, MqttOptions
from hushfleet.link.tls import client_context
from hushfleet.program.folder import Membership
from hushfleet.randomness import SystemRandomness
from orchestrator.config import Config
from orchestrator.folder import StateFolder

_FIRST_CONNECTION_S = 60.0


def connect_to_broker(folder: StateFolder, fleet: Membership, config: Config, on_problem: Callable[[str], None]) -> Link:
    """The link to the fleet's broker. Raises `LinkError(LINK_AWAY)` if there is no connection for a minute."""
    context = client_context(folder.ca, folder.certificate, folder.tls_key)
    broker = config.broker
    options = MqttOptions(
        broker.host or fleet.broker_host,
        broker.port or fleet.broker_port,
        fleet.fleet,
        fleet.device_id,
        context,
        orchestrator=True,
        keep_alive_s=broker.keepalive_s,
        max_bytes=broker.max_bytes,
    )
    link = MqttLink(options, SystemRandomness(), on_problem)
    link.open()
    if not link.wait_connected(_FIRST_CONNECTION_S):
        problem = link.problem
        link.close()
        message = f"no connection to {options.host}:{options.port} for {_FIRST_CONNECTION_S:.0f} s: {problem or 'no answer'}"
        raise LinkError(Refusal.LINK_AWAY, message, next_step="Start the broker, or correct [broker] in orchestrator.toml.")
    return link
