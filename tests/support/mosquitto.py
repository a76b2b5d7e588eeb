"""A real Mosquitto with TLS, client certificates and the ACL of the topic table, on an ephemeral port in a temporary folder."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from hushfleet.link.options import MqttOptions
from hushfleet.link.tls import client_context, make_key_and_request
from hushfleet.wire.topics import acl
from provisioning.certificates import Authority, now
from tests.support.waiting import eventually

HOST = "localhost"
ROOT_ID = 0
START_S = 10.0
STARTS = 5
RUNNING = " running\n"  # it listens by then; asking the port itself could meet a socket that connects to itself

CONFIGURATION = """\
log_dest stderr
log_type all
persistence true
persistence_location {folder}/
allow_anonymous false
set_tcp_nodelay true
acl_file {folder}/acl
listener {port} 127.0.0.1
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
require_certificate true
use_identity_as_username true
use_username_as_clientid true
tls_version tlsv1.2
"""


def program() -> str:
    """Where Mosquitto is; it is no option of these tests."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
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

    def broker(self, hosts: Sequence[str] = (HOST, "127.0.0.1"), at: datetime | None = None) -> tuple[Path, Path]:
        key, certificate = self.authority.issue_to_broker(hosts, at or now())
        return self._written("broker.pem", certificate), self._written("broker.key", key)

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
    """One broker. `parties` maps an identity to what `acl` takes besides it; `extra` adds or overrides lines of the configuration."""

    folder: Path
    fleet: str
    parties: dict[str, dict[str, bool]]
    extra: str = ""
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
        """Start for the first time: certificates, ACL and a port of its own."""
        self.certificates.ca()
        self.certificates.broker()
        self.write_acl()
        for _ in range(STARTS):
            self.port = _free_port()
            if self._run():
                return self
        raise AssertionError(self.log)

    def again(self) -> None:
        """Start once more, at the same port."""
        assert self._run(), self.log

    def write_acl(self) -> None:
        lines = []
        for identity, roles in self.parties.items():
            lines += [f"user {identity}", *(f"topic {verb} {pattern}" for verb, pattern in acl(self.fleet, identity, **roles))]
        path = self.folder / "acl"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)

    def reload(self) -> None:
        """Read the ACL again."""
        reloads = self.log.count("Reloading config")
        self.signal(signal.SIGHUP)
        eventually(lambda: self.log.count("Reloading config") > reloads)

    def save(self, *held: bytes) -> None:
        """Write the state to disk now; it must hold these bytes."""
        state = self.folder / "mosquitto.db"

        def saved() -> bool:
            self.signal(signal.SIGUSR1)
            return state.exists() and all(part in state.read_bytes() for part in held)

        eventually(saved)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.send_signal(signal.SIGCONT)
            self.process.wait(START_S)
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
        configuration = self.folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == ROOT_ID else ""  # else it could not read the temporary folder
        configuration.write_text(user + CONFIGURATION.format(folder=self.folder, port=self.port) + self.extra)
        log_file = self.folder / "log"
        log_file.touch()
        started = self.log.count(RUNNING)
        with log_file.open("ab") as log:
            self.process = process = subprocess.Popen([program(), "-c", str(configuration)], stderr=log)
        eventually(lambda: self.log.count(RUNNING) > started or process.poll() is not None, START_S)
        return process.poll() is None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
