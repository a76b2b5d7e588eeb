"""One agent as a process: how it comes, how it goes, and what it says when it cannot connect."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent import enrolment
from edge_agent.folder import StateFolder
from hushfleet.cli import ExitCode
from hushfleet.codec import decode
from hushfleet.documents import open_enrolment_request
from hushfleet.documents.enrolment import Broker
from hushfleet.owner.certificates import now
from hushfleet.signing import Signed
from hushfleet.wire import Kind, Presence, open_status
from hushfleet.wire.topics import subscription
from tests.support.broker import Links
from tests.support.bundles import MEMBER, approved, bundle
from tests.support.fleet import FLEET_NAME, make_fleet
from tests.support.mosquitto import HOST, Certificates, Mosquitto
from tests.support.waiting import LIMIT_S, eventually

HUSHFLEET = str(Path(sys.executable).with_name("hushfleet"))
CONFIG = "[training]\nenabled = false\n[testing]\ninsecure_keys = true\n"


class Agent:
    """An enrolled and joined device, and its process."""

    def __init__(self, folder: Path, certificates: Certificates, port: int) -> None:
        self.state, self.log_file = StateFolder(folder / "state"), folder / "agent.log"
        request = enrolment.enrol(self.state, MEMBER)
        asked = open_enrolment_request(decode(Signed, request.data, max_bytes=10_000)).certificate_request
        keys = enrolment.DeviceKeys.load(self.state.path)
        self.key, fleet = keys.signing.verify_key, approved(make_fleet(), keys)
        certificate = certificates.authority.issue_to(MEMBER, asked, now())
        given = bundle(fleet, broker=Broker(HOST, port), ca_certificate=certificates.authority.certificate_pem, certificate=certificate)
        enrolment.join(self.state, enrolment.read_bundle(self.state, given), insecure_keys=True)
        (folder / "agent.toml").write_text(CONFIG)
        self.command = [HUSHFLEET, "agent", "run", "--state", str(self.state.path), "--config", str(folder / "agent.toml")]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(self.command, stderr=log)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(how)
        code = self.process.wait(LIMIT_S)
        self.process = None
        return code

    @property
    def log(self) -> str:
        return self.log_file.read_text()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    found = Mosquitto(tmp_path / "broker", FLEET_NAME, {"orchestrator": {"orchestrator": True}, MEMBER: {"member": True}})
    try:
        yield found.start()
    finally:
        found.stop()


@pytest.fixture
def agent(tmp_path: Path, broker: Mosquitto) -> Iterator[Agent]:
    found = Agent(tmp_path, broker.certificates, broker.port)
    found.start()
    try:
        yield found
    finally:
        found.end(signal.SIGKILL)


def test_presence_from_the_start_to_an_orderly_stop_and_to_a_sudden_one(broker: Mosquitto, agent: Agent) -> None:
    with closing(Links(broker)) as links:
        orchestrator = links.connect("orchestrator")
        orchestrator.subscribe(subscription(FLEET_NAME, Kind.STATUS))

        def presence() -> Presence:
            delivery = orchestrator.receive(LIMIT_S)
            assert delivery is not None
            orchestrator.acknowledge(delivery)
            return open_status(delivery.data, agent.key, fleet=FLEET_NAME, device_id=MEMBER).presence

        assert presence() is Presence.IDLE
        assert agent.end() == 0
        assert presence() is Presence.OFFLINE
        assert agent.state.holder() is None

        agent.start()
        assert presence() is Presence.IDLE
        agent.end(signal.SIGKILL)
        assert presence() is Presence.OFFLINE  # the last will, after its delay


def test_a_second_agent_on_the_same_folder_is_told_which_one_runs(agent: Agent) -> None:
    eventually(lambda: "Connected" in agent.log)
    assert agent.process is not None

    second = subprocess.run(agent.command, capture_output=True, text=True, check=False, timeout=LIMIT_S)

    assert second.returncode == ExitCode.TRY_LATER
    assert f"process {agent.process.pid} [state-in-use]" in second.stderr


def test_a_broker_without_tls_is_refused_and_hears_nothing_of_mqtt(tmp_path: Path) -> None:
    heard = []

    def answer(connection: socket.socket) -> None:
        with connection:
            heard.append(connection.recv(4096))
            connection.sendall(b"\x20\x02\x00\x05")  # CONNACK of MQTT without TLS

    def serve() -> None:
        while True:
            try:
                answer(plain.accept()[0])
            except OSError:
                return

    with socket.create_server((HOST, 0)) as plain:
        threading.Thread(target=serve, daemon=True).start()
        (tmp_path / "certificates").mkdir()
        agent = Agent(tmp_path, Certificates(tmp_path / "certificates", FLEET_NAME), plain.getsockname()[1])
        agent.start()
        try:
            eventually(lambda: "TLS port (8883)" in agent.log)
            assert agent.end() == 0
        finally:
            agent.end(signal.SIGKILL)

    assert heard
    assert all(data[:1] == b"\x16" for data in heard)  # a TLS handshake and nothing else
