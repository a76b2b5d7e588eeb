"""A demo fleet over a real Mosquitto: TLS, client certificates, ACL, and processes.

Each committee member is a process, the other devices share one, the orchestrator is this one. Whoever runs the broker is played by a
session that may publish anything.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path

import msgspec
import numpy as np

from edge_agent.store import Store
from hushfleet.codec import encode
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.link import Messenger
from hushfleet.link.mqtt.client import MqttLink, MqttOptions
from hushfleet.link.tls import client_context, make_key_and_request
from hushfleet.owner.certificates import Authority, now
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.coordinator import Collecting, Coordinator, CoordinatorMemory, NoRound
from hushfleet.rounds.effects import Note, Refused
from hushfleet.rounds.tasks.train import TrainingProgress
from hushfleet.system.clock import now_ms
from hushfleet.system.durable import write_durably
from hushfleet.training import Data
from hushfleet.wire import Inbox, KeyShareDelivery, Kind, Topic
from orchestrator.service import Orchestrator
from orchestrator.store.archive_folder import Archive
from provisioning.broker import Access
from simulation import broker
from simulation.device_process import BROKER_FOLDER, CA_FILE, CERTIFICATE_FILE, DATA_FILE, KEY_FILE, Spec
from simulation.fleet import FleetSetup, PartyLog

PATIENCE_S = 60.0
TURN_S = 0.01


class BrokerFleet:
    """The running fleet; satisfies `Fleet`. `close` ends every process."""

    def __init__(self, setup: FleetSetup, folder: Path, *, model_name: str) -> None:
        parties, self.folder = setup.parties, folder
        self.parties, self.job, self.log = parties, setup.job, PartyLog()
        self._model_name = model_name
        self.roster = parties.roster(setup.dealing, setup.policy)
        self._fleet, self._port = parties.owner.fleet, broker.free_port()
        self._carried: dict[tuple[str, int], bytes] = {}
        self._held: set[str] = set()
        self._ready: set[str] = set()
        self._processes: list[subprocess.Popen[str]] = []
        self._exits = ExitStack()
        try:
            self._start(setup)
        except BaseException:
            self.close()
            raise

    def _start(self, setup: FleetSetup) -> None:
        me = self.parties.orchestrator
        configuration = self._write_broker(me.device_id)
        for name in self.parties.devices:
            self._write_device(name, setup.data[name])
        self._exits.enter_context(broker.running(configuration, self._port))
        self.messenger = self._connect(me.device_id, orchestrator=True)
        self.network = self._connect(broker.NETWORK, leave_to_broker=True)
        self.network.subscribe(self._fleet, Kind.CONTRIBUTION)
        root = self.parties.owner.root.verify_key
        self.orchestrator = Orchestrator(
            Coordinator(me.signing, me.sealing, root, self.job),
            NoRound(CoordinatorMemory(self.roster, TrainingProgress.start(setup.model))),
            self.messenger,
            Archive(self.folder / "archive", root),
            now_ms=now_ms,
            report=lambda happening: self.log.add("orchestrator", happening),
        )
        self.orchestrator.connect()
        self._start_processes()
        for name, grant in self.parties.owner.grants(self.roster, setup.dealing).items():
            self.messenger.send(Topic(self._fleet, Kind.INBOX, device=name, chunk=0), encode(Inbox(KeyShareDelivery(grant))))

    def close(self) -> None:
        """End every process and connection."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            process.wait(PATIENCE_S)
        self._processes.clear()
        self._exits.close()

    def hold(self, name: str) -> None:
        """This device does nothing until it is released."""
        self._command("hold", name)

    def release(self, name: str) -> None:
        """Let a device that was held back go on."""
        self._command("release", name)

    def contribute(self) -> Iterator[int]:
        """Take contributions until every device that is not held has contributed; yields how many were accepted so far."""
        wanted = len(self.parties.devices) - len(self._held)
        for _ in self._until(lambda: self.orchestrator.arrived[0] >= wanted, "contributions"):
            yield self.orchestrator.arrived[0]

    def decrypt(self, progress: Callable[[int], None] = lambda _: None) -> bool:
        """Let the committee answer and the orchestrator release; whether it did."""
        version = self.orchestrator.state.memory.progress.version
        if isinstance(self.orchestrator.state, Collecting):
            self.orchestrator.end_collection()
        for _ in self._until(lambda: isinstance(self.orchestrator.state, NoRound), "committee answers"):
            progress(self.orchestrator.arrived[1])
        return self.orchestrator.state.memory.progress.version > version

    def await_refusals(self, parties: set[str]) -> list[tuple[str, Refused]]:
        """The refusals since the last call, once each of `parties` has refused something (or a while has passed)."""
        found: list[tuple[str, Refused]] = []
        deadline = time.monotonic() + PATIENCE_S
        while not parties <= {party for party, _ in found} and time.monotonic() < deadline:
            self._turn()
            found += self.log.take_refusals()
        return found

    def sealed_contribution(self, name: str, number: int) -> bytes:
        """The sealed contribution of a device in a round, as the network carried it."""
        deadline = time.monotonic() + PATIENCE_S
        while (name, number) not in self._carried and time.monotonic() < deadline:
            arrived = self.network.receive(TURN_S)
            if arrived is not None:
                self._carried[arrived.topic.device or "", arrived.topic.number or 0] = arrived.data
                self.network.acknowledge(arrived)
        return self._carried[name, number]

    def _until(self, done: Callable[[], bool], what: str) -> Iterator[None]:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self._turn()
            yield
            if done():
                return
            if time.monotonic() > deadline:
                log = self.folder / BROKER_FOLDER / "mosquitto.log"
                raise LocalError(Refusal.LINK_AWAY, f"no {what} for {PATIENCE_S:.0f} s", next_step=f"See {log}")

    def _turn(self) -> None:
        if not self.orchestrator.pump():
            time.sleep(TURN_S)  # everybody else is at work

    def _write_broker(self, orchestrator: str) -> Path:
        """The broker's folder, and everybody's certificate; where the broker's configuration is."""
        authority, members = Authority.create(self._fleet, now()), self.parties.committee
        access = [Access(orchestrator, orchestrator=True), *(Access(name, member=name in members) for name in self.parties.devices)]
        for name in (broker.NETWORK, *(one.identity for one in access)):
            folder = self._folder_of(name)
            folder.mkdir(parents=True)
            own, request = make_key_and_request(name)
            write_durably(folder / KEY_FILE, own)
            write_durably(folder / CERTIFICATE_FILE, authority.issue_to(name, request, now()))
        folder = self.folder / BROKER_FOLDER
        return broker.write_configuration(folder, fleet=self._fleet, port=self._port, authority=authority, access=access)

    def _write_device(self, name: str, data: Data) -> None:
        folder = self._folder_of(name)
        self.parties.devices[name].save(folder)
        Store.create(folder).close()
        np.savez(folder / DATA_FILE, x=data.features, y=data.targets)
        (folder / DATA_FILE).chmod(0o600)

    def _folder_of(self, name: str) -> Path:
        return self.folder / "devices" / name

    def _connect(self, name: str, *, orchestrator: bool = False, leave_to_broker: bool = False) -> Messenger:
        folder = self._folder_of(name)
        context = client_context(self.folder / CA_FILE, folder / CERTIFICATE_FILE, folder / KEY_FILE)
        options = MqttOptions(
            broker.HOST, self._port, self._fleet, name, context, orchestrator=orchestrator, leave_to_broker=leave_to_broker
        )
        link = MqttLink(options, SystemRandomness(), lambda text: self.log.add(name, Note(text)))
        link.open()
        self._exits.callback(link.close)
        if not link.wait_connected(PATIENCE_S):
            raise LocalError(Refusal.LINK_AWAY, f"{name} cannot connect: {link.problem}")
        return Messenger(link, self.folder / "spools" / name)

    def _start_processes(self) -> None:
        others = tuple(name for name in self.parties.devices if name not in self.parties.committee)
        for number, names in enumerate([*((name,) for name in self.parties.committee), others]):
            spec = Spec(
                str(self.folder),
                names,
                names != others,
                self._fleet,
                self.parties.owner.root.verify_key.raw.hex(),
                self._model_name,
                self._port,
            )
            path = self.folder / "spools" / f"devices-{number}.json"
            path.write_bytes(msgspec.json.encode(spec))
            self._spawn(path)
        deadline = time.monotonic() + PATIENCE_S
        while len(self._ready) < len(self.parties.devices) and time.monotonic() < deadline:
            time.sleep(TURN_S)  # they are connecting
        if len(self._ready) < len(self.parties.devices):
            raise LocalError(Refusal.LINK_AWAY, f"{len(self._ready)} of {len(self.parties.devices)} devices connected")

    def _spawn(self, spec: Path) -> None:
        with spec.with_suffix(".log").open("wb") as errors:
            command = [sys.executable, "-m", "simulation.device_process", str(spec)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        self._processes.append(process)
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        with process.stdout or nullcontext(()) as lines:
            for line in lines:
                self._heard(json.loads(line))

    def _heard(self, said: dict[str, str]) -> None:
        match said["kind"]:
            case "ready":
                self._ready.add(said["party"])
            case "hold":
                self._held.add(said["party"])
            case "release":
                self._held.discard(said["party"])
            case "refused":
                self.log.add(said["party"], Refused(PeerError(Refusal(said["reason"]), said["text"])))
            case _:
                self.log.add(said["party"], Note(said["text"]))

    def _command(self, verb: str, name: str) -> None:
        """Tell the process of a device, and wait until it has heard."""
        member = name in self.parties.committee
        process = self._processes[self.parties.committee.index(name) if member else -1]
        if process.stdin is None:
            return
        process.stdin.write(f"{verb} {name}\n")
        process.stdin.flush()
        deadline = time.monotonic() + PATIENCE_S
        while (name in self._held) != (verb == "hold") and time.monotonic() < deadline:
            time.sleep(TURN_S)  # until it says so
