"""One device that publishes as fast as a broker takes it, in a process of its own, and a fleet whose contributions it is to silence.

`python -m tests.support.flood PORT ID FOLDER TOPIC`: the flood. It waits for no acknowledgement, unlike paho, whose pace is the
broker's.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hushfleet.codec import encode
from hushfleet.documents import ReceiptStatus, open_receipt
from hushfleet.labels import sha256
from hushfleet.link import Messenger
from hushfleet.link.mqtt.client import MqttLink
from hushfleet.link.tls import client_context
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.effects import Alert, Note, Refused
from hushfleet.system.clock import now_ms
from hushfleet.wire import Kind, Topic, decode_signed
from hushfleet.wire.chunks import Chunk
from orchestrator.service import Orchestrator
from orchestrator.store.archive_folder import Archive
from tests.support.fleet import FLEET_NAME
from tests.support.fleet.paper import Fleet as PaperFleet
from tests.support.mosquitto import HOST, NO_MESSAGES, Mosquitto

BATCH = 256
WHOLES = 4


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _packet(kind: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, digit = size >> 7, size & 0x7F
        length += bytes([digit | (0x80 if size else 0)])
        if not size:
            return bytes([kind]) + length + body


def connect_packet(identity: str) -> bytes:
    return _packet(0x10, _field(b"MQTT") + b"\x05\x02" + (60).to_bytes(2, "big") + b"\x00" + _field(identity.encode()))


def publish_packets(prefix: str, number: int) -> bytes:
    """A batch of messages of QoS 1: single chunks of wholes that never come."""
    packets = []
    for k in range(number, number + BATCH):
        chunk = Chunk(k % 4096, 4096, 8192, sha256(b"%d" % (k // 4096 % WHOLES)), b"xx")
        topic = _field(f"{prefix}/{chunk.index}".encode())
        packets.append(_packet(0x32, topic + (1 + k % 0xFFFF).to_bytes(2, "big") + b"\x00" + encode(chunk)))
    return b"".join(packets)


def flood(port: int, identity: str, folder: Path, prefix: str) -> None:
    """Publish until the process is ended."""
    context = client_context(folder / "ca.pem", folder / f"{identity}.pem", folder / f"{identity}.key")
    batches = [publish_packets(prefix, number) for number in range(0, 4096 * WHOLES, BATCH)]
    with context.wrap_socket(socket.create_connection((HOST, port)), server_hostname=HOST) as stream:
        stream.sendall(connect_packet(identity))
        stream.recv(4096)
        reader = threading.Thread(target=_drain, args=(stream,), daemon=True)
        reader.start()
        sys.stdout.write("connected\n")
        sys.stdout.flush()
        while True:
            for batch in batches:
                stream.sendall(batch)


def _drain(stream: socket.socket) -> None:
    while stream.recv(1 << 16):
        pass


@dataclass
class Fleet:
    """An orchestrator and honest devices at a real Mosquitto; they send again until they have a receipt, as agents do."""

    world: PaperFleet
    folder: Path
    honest: Sequence[str]
    again_s: float = 2.0
    reports: list[Note | Alert | Refused] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator["Fleet"]:
        committee = self.world.parties.committee
        devices = {name: {"member": name in committee} for name in self.world.names}
        self.broker = Mosquitto(self.folder / "broker", FLEET_NAME, {"orchestrator": {"orchestrator": True}, **devices}, told=NO_MESSAGES)
        with ExitStack() as stack:
            self.broker.start()
            stack.callback(self.broker.stop)
            self.links = {name: stack.enter_context(closing(self._link(name))) for name in ("orchestrator", *self.honest)}
            self.messengers = {name: Messenger(link, self.folder / "spools" / name) for name, link in self.links.items()}
            self.orchestrator = Orchestrator(
                self.world.coordinator(),
                self.world.coordinator_state(),
                self.messengers["orchestrator"],
                Archive(self.folder / "archive", self.world.parties.owner.root.verify_key),
                now_ms=now_ms,
                report=self.reports.append,
            )
            self.orchestrator.connect()
            for name in self.honest:
                self.messengers[name].subscribe(FLEET_NAME, Kind.RECEIPT, device=name)
            self.orchestrator.start_round()
            plan = self.orchestrator.state.terms.verified_plan  # type: ignore[union-attr]  # a round is open
            self.sealed = {name: self.world.sealed(plan, name, self.world.body(plan, name)) for name in self.honest}
            yield self

    def _link(self, name: str) -> MqttLink:
        link = MqttLink(self.broker.options(name), SystemRandomness(), lambda _: None)
        link.open()
        assert link.wait_connected(60), link.problem
        return link

    @contextmanager
    def flooded_by(self, name: str) -> Iterator[None]:
        """Meanwhile this device publishes as fast as it can."""
        self.broker.certificates.ca()
        self.broker.certificates.issue(name)
        prefix = f"hushfleet/v1/{FLEET_NAME}/device/{name}/contribution/1"
        command = [sys.executable, "-m", "tests.support.flood", str(self.broker.port), name, str(self.broker.folder), prefix]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            assert process.stdout.readline(), "the flood did not begin"
            yield
            assert process.poll() is None, "the flood ended"
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def contribute(self, name: str, limit_s: float) -> float:
        """Seconds from a device's first chunk to its receipt; the orchestrator and the device take turns. `limit_s` at most."""
        began = sent = time.monotonic()
        topic = Topic(FLEET_NAME, Kind.CONTRIBUTION, device=name, number=1, chunk=0)
        self.messengers[name].send(topic, self.sealed[name])
        while time.monotonic() - began < limit_s:
            self.orchestrator.pump(0.001)
            if self._receipt(name):
                return time.monotonic() - began
            if time.monotonic() - sent > self.again_s:
                sent = time.monotonic()
                self.messengers[name].send(topic, self.sealed[name])
        return limit_s

    def _receipt(self, name: str) -> bool:
        arrived = self.messengers[name].receive(0)
        if arrived is None:
            return False
        self.messengers[name].acknowledge(arrived)
        receipt = open_receipt(decode_signed(arrived.data), self.world.roster.orchestrator)
        return receipt.status is ReceiptStatus.ACCEPTED


if __name__ == "__main__":
    flood(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4])
