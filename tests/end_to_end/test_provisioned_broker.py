"""The broker's folder as the vault writes it, obeyed by a real Mosquitto: who gets in, who may say what and who hears it.

Expectations come from the roles in the topic table, not from the access rules that are under test.
"""

import queue
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from hushfleet.link.tls import client_context
from hushfleet.owner import certificates
from hushfleet.owner.certificates import Authority
from hushfleet.wire import Kind, Role, Topic, build
from provisioning.broker import BrokerPlace
from tests.support.enrolling import MEMBERS, ORCHESTRATOR, Founded, applicant, found, new_vault
from tests.support.mosquitto import RUNNING, free_port, program
from tests.support.waiting import LIMIT_S, eventually

DEVICE, MEMBER, OTHER = "pi-05", MEMBERS[0], "pi-06"
PARTIES = (DEVICE, MEMBER, OTHER, ORCHESTRATOR)
NOT_AUTHORIZED = 135


@dataclass
class Broker:
    """A fleet, its broker's folder and the Mosquitto that runs from it."""

    fleet: Founded
    folder: Path
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    def write(self) -> None:
        self.fleet.vault.write_broker(self.folder, BrokerPlace(["localhost"], port=self.port, user="root"))

    def start(self) -> "Broker":
        for _ in range(5):
            self.port = free_port()
            self.write()
            if self._run():
                return self
        raise AssertionError(self.log)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def restart(self) -> None:
        """As the page that lies in the folder says."""
        self.stop()
        assert self._run(), self.log

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(LIMIT_S)

    def _run(self) -> bool:
        with (self.folder / "log").open("wb") as log:
            # as typed, but for -v: the log is where a test sees that it listens
            self.process = process = subprocess.Popen([program(), "-v", "-c", str(self.folder / "mosquitto.conf")], stderr=log)
        eventually(lambda: RUNNING in self.log or process.poll() is not None)
        return process.poll() is None


@dataclass
class Session:
    """One identity at the broker, as paho sees it: nothing of ours stands between it and the broker."""

    client: mqtt.Client
    connected: "queue.Queue[object]" = field(default_factory=queue.Queue)
    published: "queue.Queue[tuple[int, int]]" = field(default_factory=queue.Queue)
    subscribed: "queue.Queue[object]" = field(default_factory=queue.Queue)
    gone: "queue.Queue[object]" = field(default_factory=queue.Queue)
    heard: "queue.Queue[tuple[str, bytes]]" = field(default_factory=queue.Queue)

    def publish(self, topic: str, data: bytes, *, retain: bool = False) -> int:
        """The broker's reason code."""
        sent = self.client.publish(topic, data, qos=1, retain=retain)
        mid, code = self.published.get(timeout=LIMIT_S)
        assert mid == sent.mid
        return code

    def listen(self, topic: str) -> None:
        self.client.subscribe(topic, qos=1)
        self.subscribed.get(timeout=LIMIT_S)

    def until(self, last: tuple[str, bytes]) -> set[tuple[str, bytes]]:
        """Everything heard up to and without `last`."""
        taken = set()
        while (one := self.heard.get(timeout=LIMIT_S)) != last:
            taken.add(one)
        return taken


@contextmanager
def session(port: int, context: ssl.SSLContext, client_id: str) -> Iterator[Session]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
    one = Session(client)
    client.on_connect = lambda *arguments: one.connected.put(arguments[3])
    client.on_disconnect = lambda *arguments: one.gone.put(arguments[3])
    client.on_publish = lambda _client, _data, mid, reason, _properties: one.published.put((mid, reason.value))
    client.on_subscribe = lambda *arguments: one.subscribed.put(arguments[3])
    client.on_message = lambda _client, _data, message: one.heard.put((message.topic, message.payload))
    client.tls_set_context(context)
    client.connect("localhost", port, clean_start=True)
    client.loop_start()
    try:
        yield one
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def broker(tmp_path):
    with new_vault(tmp_path / "vault", now=certificates.now()) as vault:
        broker = Broker(found(vault, others=[DEVICE, OTHER]), tmp_path / "broker")
        try:
            yield broker.start()
        finally:
            broker.stop()


@pytest.fixture
def connect(broker, tmp_path):
    """Opens sessions that are connected, and closes them."""
    with ExitStack() as stack:

        def opened(name: str, client_id: str = "") -> Session:
            one = stack.enter_context(session(broker.port, context(broker, tmp_path, name), client_id or name))
            assert str(one.connected.get(timeout=LIMIT_S)) == "Success"
            return one

        yield opened


def context(broker: Broker, folder: Path, name: str, *, ca: Authority | None = None) -> ssl.SSLContext:
    """The client side of somebody, with the certificate from its bundle, or one of another `ca`."""
    person, vault = broker.fleet.people[name], broker.fleet.vault
    issued = ca.issue_to(name, person.certificate_request, certificates.now()) if ca else vault.registry.find(name).certificate.encode()
    for file, data in ((f"{name}.pem", issued), (f"{name}.key", person.tls_key), ("ca.pem", vault.registry.ca_certificate.encode())):
        (folder / file).write_bytes(data)
    return client_context(folder / "ca.pem", folder / f"{name}.pem", folder / f"{name}.key")


def topics(fleet: str) -> Iterator[Topic]:
    """One of every kind; of those with a device in them one for each device."""
    for kind in Kind:
        named = "{device}" in kind.pattern
        for device in (DEVICE, MEMBER, OTHER) if named else (None,):
            yield Topic(
                fleet,
                kind,
                device=device,
                number=7 if "{number}" in kind.pattern else None,
                digest="ab" * 32 if "{digest}" in kind.pattern else None,
                chunk=0 if "{chunk}" in kind.pattern else None,
            )


def may_say(name: str, topic: Topic) -> bool:
    """The orchestrator may publish on every topic: it clears what others left behind."""
    return name == ORCHESTRATOR or has(topic.kind.publisher, name, topic)


def may_hear(name: str, topic: Topic) -> bool:
    """A device may read back what others keep of it."""
    return has(topic.kind.reader, name, topic) or (topic.kind is Kind.STATUS and name == topic.device)


def has(role: Role, name: str, topic: Topic) -> bool:
    """Whether somebody plays this role for a topic."""
    return {
        Role.ORCHESTRATOR: name == ORCHESTRATOR,
        Role.DEVICE: name == topic.device,
        Role.MEMBER: name in MEMBERS,
        Role.OWN_MEMBER: name == topic.device and name in MEMBERS,
        Role.EVERYBODY: True,
    }[role]


def test_everybody_may_say_what_the_topic_table_says_and_nothing_else(broker, connect):
    sessions = {name: connect(name) for name in PARTIES}
    fleet = broker.fleet.vault.registry.fleet
    outside = [f"hushfleet/v1/orchard/device/{DEVICE}/status", f"hushfleet/v1/{fleet}/anything", "anything", "hushfleet/v2/x"]
    for name, one in sessions.items():
        for topic in topics(fleet):
            allowed = may_say(name, topic)
            code = one.publish(build(topic), b"x")
            assert (code != NOT_AUTHORIZED) == allowed, (name, build(topic), code)
        for topic in outside:
            assert one.publish(topic, b"x") == NOT_AUTHORIZED


def test_everybody_hears_what_the_topic_table_says_and_nothing_else(broker, connect):
    sessions = {name: connect(name) for name in PARTIES}
    fleet = broker.fleet.vault.registry.fleet
    for one in sessions.values():
        one.listen("#")
    said = {}
    for topic in topics(fleet):
        speaker = ORCHESTRATOR if topic.kind.publisher is Role.ORCHESTRATOR else topic.device
        if not has(topic.kind.publisher, speaker, topic):
            continue  # a device that is no member may not say it
        said[build(topic)] = topic
        assert sessions[speaker].publish(build(topic), speaker.encode()) != NOT_AUTHORIZED
    end = Topic(fleet, Kind.RECORD, number=99, chunk=0)
    sessions[ORCHESTRATOR].publish(build(end), b"end")
    for name, one in sessions.items():
        heard = {said[text] for text, _ in one.until((build(end), b"end"))}
        assert heard == {topic for topic in said.values() if may_hear(name, topic)}, name


def test_a_client_id_of_somebody_else_takes_over_nothing(broker, connect):
    victim = connect(DEVICE)
    thief = connect(OTHER, client_id=DEVICE)
    fleet = broker.fleet.vault.registry.fleet
    assert thief.publish(build(Topic(fleet, Kind.STATUS, device=DEVICE)), b"x") == NOT_AUTHORIZED
    assert thief.publish(build(Topic(fleet, Kind.STATUS, device=OTHER)), b"x") != NOT_AUTHORIZED
    assert victim.publish(build(Topic(fleet, Kind.STATUS, device=DEVICE)), b"x") != NOT_AUTHORIZED
    assert victim.gone.empty()
    assert broker.log.count(f"as {DEVICE} (") == broker.log.count(f"as {OTHER} (") == 1


def test_a_revoked_device_is_not_let_in_after_a_restart_and_others_are(broker, connect, tmp_path):
    connect(DEVICE).client.disconnect()
    broker.fleet.vault.revoke(DEVICE)
    broker.write()
    broker.restart()
    assert refused_by(broker, context_of_revoked(tmp_path))
    connect(OTHER)


def context_of_revoked(folder: Path) -> ssl.SSLContext:
    """The files that the device had."""
    return client_context(folder / "ca.pem", folder / f"{DEVICE}.pem", folder / f"{DEVICE}.key")


def refused_by(broker: Broker, client: ssl.SSLContext) -> bool:
    """Whether the broker ends this connection before it says yes. With TLS 1.3 that shows only after the handshake."""
    with suppress(ssl.SSLError, ConnectionResetError, BrokenPipeError), session(broker.port, client, "x") as one:
        one.gone.get(timeout=LIMIT_S)
        return one.connected.empty()
    return True


def test_a_device_approved_later_is_let_in_at_once_and_has_its_own_rights_alone(broker, connect):
    broker.fleet.join(applicant("pi-07"))
    fleet, later = broker.fleet.vault.registry.fleet, connect("pi-07")
    assert later.publish(build(Topic(fleet, Kind.STATUS, device="pi-07")), b"x") != NOT_AUTHORIZED
    assert later.publish(build(Topic(fleet, Kind.STATUS, device=DEVICE)), b"x") == NOT_AUTHORIZED


def test_a_device_with_a_certificate_of_another_ca_is_not_let_in(broker, tmp_path):
    other = Authority.create("greenhouse", certificates.now())
    assert refused_by(broker, context(broker, tmp_path, DEVICE, ca=other))


def test_nobody_is_let_in_without_a_certificate(broker, tmp_path):
    context(broker, tmp_path, DEVICE)
    assert refused_by(broker, ssl.create_default_context(cafile=tmp_path / "ca.pem"))
