"""A Mosquitto of the demo's own: TLS, client certificates and the ACL, on a free port of this machine, in the demo's folder."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hushfleet.errors import LocalError, Refusal
from hushfleet.owner.certificates import Authority, now
from provisioning.broker import Access, BrokerPlace, Guests, write_broker

HOST = "localhost"
START_S = 15.0
NETWORK = "network"
"""The identity that stands for whoever runs the broker: it may read and publish everything."""
NO_BOUNDS = """
# All devices of a demo contribute at once, and nobody sends a second time within its patience.
max_queued_messages 0
max_queued_bytes 0
"""


def find_mosquitto() -> str | None:
    """The path of Mosquitto, or None."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def write_configuration(folder: Path, *, fleet: str, port: int, authority: Authority, access: Iterable[Access]) -> Path:
    """The folder that an owner gives a broker, with one more identity, `NETWORK`; where its configuration is."""
    user = "root" if os.geteuid() == 0 else ""  # else it would drop to a user who may not read this folder
    guests = Guests(fleet, access, authority, authority.revocations((), now()), now())
    write_broker(folder, guests, BrokerPlace((HOST,), port, user=user, listen=HOST))
    with (folder / "acl").open("a") as rules:
        rules.write(f"\nuser {NETWORK}\ntopic readwrite hushfleet/v1/#\n")
    configuration = folder / "mosquitto.conf"
    with configuration.open("a") as lines:
        lines.write(NO_BOUNDS)
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
        with suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(0.05)  # it is still starting
    raise LocalError(Refusal.LINK_AWAY, f"Mosquitto did not start: {log.read_text(errors='replace')[-500:]}")
