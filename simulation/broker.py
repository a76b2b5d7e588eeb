"""A Mosquitto of the demo's own: TLS, client certificates and the ACL, on a free port of this machine, in the demo's folder."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hushfleet.errors import LocalError, Refusal
from hushfleet.wire import acl

START_S = 15.0
NETWORK = "network"
"""The identity that stands for whoever runs the broker: it may read and publish everything."""


def find_mosquitto() -> str | None:
    """Where Mosquitto is, or None."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def write_configuration(folder: Path, *, fleet: str, port: int, orchestrator: str, members: Sequence[str], devices: Sequence[str]) -> Path:
    """mosquitto.conf and ACL beside ca.crt, server.crt and server.key, which must be there."""
    lines = [f"user {NETWORK}", "topic readwrite hushfleet/v1/#"]
    for name in (orchestrator, *devices):
        lines.append(f"user {name}")
        rules = acl(fleet, name, orchestrator=name == orchestrator, member=name in members)
        lines += [f"topic {verb} {pattern}" for verb, pattern in rules]
    (folder / "acl").write_text("\n".join(lines) + "\n")
    (folder / "acl").chmod(0o700)
    configuration = folder / "mosquitto.conf"
    stay_root = "user root\n" if os.geteuid() == 0 else ""  # else it would drop to a user who may not read this folder
    configuration.write_text(
        f"""{stay_root}listener {port} localhost
cafile {folder / "ca.crt"}
certfile {folder / "server.crt"}
keyfile {folder / "server.key"}
require_certificate true
use_identity_as_username true
use_username_as_clientid true
tls_version tlsv1.2
allow_anonymous false
acl_file {folder / "acl"}
max_inflight_messages 8
max_queued_messages 0
max_queued_bytes 0
set_tcp_nodelay true
"""
    )
    return configuration


@contextmanager
def running(configuration: Path, port: int) -> Iterator[None]:
    """Mosquitto with this configuration, stopped at the end. Raises `LocalError(LINK_AWAY)` if it does not come up."""
    program = find_mosquitto()
    if program is None:
        raise LocalError(Refusal.LINK_AWAY, "Mosquitto is not installed", next_step="sudo apt install mosquitto")
    log = configuration.with_name("mosquitto.log")
    with log.open("wb") as output:
        process = subprocess.Popen([program, "-c", str(configuration)], stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        _wait_for(port, process, log)
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("localhost", port), 1):
            return
        time.sleep(0.05)  # it is still starting
    raise LocalError(Refusal.LINK_AWAY, f"Mosquitto did not start: {log.read_text(errors='replace')[-500:]}")
