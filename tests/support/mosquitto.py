"""A real Mosquitto as `hushfleet provision broker` configures it, on an ephemeral port in a temporary folder."""

import os
import signal
import ssl
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from hushfleet.link.mqtt.options import MqttOptions
from hushfleet.link.tls import client_context, make_key_and_request
from hushfleet.owner.certificates import Authority, now
from provisioning.broker import Access, BrokerPlace, Guests, write_broker
from simulation.broker import find_mosquitto, free_port
from tests.support.waiting import LIMIT_S, eventually

HOST = "localhost"
ROOT_ID = 0
STARTS = 5
RUNNING = " running\n"  # it listens by then; asking the port itself could meet a socket that connects to itself

EXTRA = "\nlog_dest stderr\nlog_type all\n"
NO_MESSAGES = "\nlog_dest stderr\nlog_type error\nlog_type warning\nlog_type notice\nlog_type information\n"
"""Not a line for every message: in a flood writing them would be most of the work."""


def program() -> str:
    """Where Mosquitto is; it is no option of these tests."""
    found = find_mosquitto()
    assert found, "Mosquitto is missing. Type: sudo apt install mosquitto"
    return found


@dataclass
class Certificates:
    """A CA and what it issues, as files. Keys are made once per name."""

    folder: Path
    fleet: str

    @cached_property
    def authority(self) -> Authority:
        return Authority.create(self.fleet, now())

    def ca(self) -> Path:
        return self._written("ca.pem", self.authority.certificate_pem)

    def broker(self, hosts: Sequence[str] = (HOST,), at: datetime | None = None) -> tuple[Path, Path]:
        """Certificate and key of the broker, issued at `at`."""
        key, certificate = self.authority.issue_to_broker(hosts, at or now())
        return self._written("server.pem", certificate), self._written("server.key", key)

    def issue(self, name: str, at: datetime | None = None) -> tuple[Path, Path]:
        """Certificate and key of `name`, issued at `at`."""
        key, request = make_key_and_request(name)
        certificate = self.authority.issue_to(name, request, at or now())
        return self._written(f"{name}.pem", certificate), self._written(f"{name}.key", key)

    def context(self, name: str, *, issued_ago: timedelta = timedelta(0), trusting: "Certificates | None" = None) -> ssl.SSLContext:
        """The client side of `name`, which trusts the CA of `trusting` (default: this one)."""
        return client_context((trusting or self).ca(), *self.issue(name, now() - issued_ago))

    def _written(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(0o600)
        return path


@dataclass
class Mosquitto:
    """One broker. `parties` maps an identity to its `Access`; `extra` adds lines to the configuration, `told` is what it logs."""

    folder: Path
    fleet: str
    parties: dict[str, dict[str, bool]]
    extra: str = ""
    told: str = EXTRA
    port: int = 0
    certificates: Certificates = field(init=False)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.certificates = Certificates(self.folder, self.fleet)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> "Mosquitto":
        """Start for the first time, at a port of its own."""
        for _ in range(STARTS):
            self.port = free_port()
            self.write()
            if self._run():
                return self
        raise AssertionError(self.log)

    def again(self) -> None:
        """Start once more, at the same port."""
        assert self._run(), self.log

    def write(self, revoked: Iterable[int] = ()) -> None:
        """Write configuration, certificates and ACL anew, as the owner would, for whoever is in `parties`."""
        authority = self.certificates.authority
        access = [Access(identity, **roles) for identity, roles in self.parties.items()]
        revocations = authority.revocations([(number, now()) for number in revoked], now())
        user = "root" if os.geteuid() == ROOT_ID else ""  # another user could not read the temporary folder
        guests = Guests(self.fleet, access, authority, revocations, now())
        write_broker(self.folder, guests, BrokerPlace((HOST,), self.port, user=user, listen="127.0.0.1"))

    def reload(self) -> None:
        """Read ACL and CRL again."""
        reloads = self.log.count("Reloading config")
        self.signal(signal.SIGHUP)
        eventually(lambda: self.log.count("Reloading config") > reloads)

    def save(self, *held: bytes) -> None:
        """Write the state to disk now; it must hold these bytes."""
        state = self.folder / "data" / "mosquitto.db"

        def saved() -> bool:
            self.signal(signal.SIGUSR1)
            return state.exists() and all(part in state.read_bytes() for part in held)

        eventually(saved)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.send_signal(signal.SIGCONT)
            self.process.wait(LIMIT_S)
            self.process = None

    def signal(self, which: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(which)

    def options(self, identity: str, **changes: object) -> MqttOptions:
        """How `identity` connects: quickly again after a loss."""
        settings: dict[str, object] = {"orchestrator": self.parties.get(identity, {}).get("orchestrator", False), "retry_s": (0.05, 0.2)}
        if "context" not in changes:
            settings["context"] = self.certificates.context(identity)
        return MqttOptions(HOST, self.port, self.fleet, identity, **{**settings, **changes})  # type: ignore[arg-type]  # tests name fields

    def _run(self) -> bool:
        configuration = self.folder / "test.conf"
        configuration.write_text((self.folder / "mosquitto.conf").read_text() + self.told + self.extra)
        log_file = self.folder / "log"
        log_file.touch()
        started = self.log.count(RUNNING)
        with log_file.open("ab") as log:
            self.process = process = subprocess.Popen([program(), "-c", str(configuration)], stderr=log)
        eventually(lambda: self.log.count(RUNNING) > started or process.poll() is not None)
        return process.poll() is None
