"""The files that the broker needs: configuration, access rules, certificates and a page that says how to run it (for Mosquitto 2).

Two directives stand together in the configuration: the name in the certificate is the user name, and the user name is the
client id. With the first alone, a device could take over another's session by naming its client id.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hushfleet.documents.validation import require_ids
from hushfleet.system.durable import write_durably
from hushfleet.typed import typed
from hushfleet.wire.topics import Role, rules_of
from provisioning.contents import BrokerFolder, VaultContents

if TYPE_CHECKING:
    from hushfleet.owner.certificates import Authority

_VERBS = {"read": "read", "write": "write", "clear": "write"}
"""Mosquitto's words. It cannot tell an empty message from another: that the orchestrator only clears is checked where it publishes."""
SERVICE_PATH = Path("/etc/mosquitto/hushfleet")
SERVICE_DATA = Path("/var/lib/mosquitto")
SERVICE_USER = "mosquitto"

_CONFIGURATION = """\
# Mosquitto for the fleet {fleet}, written by `hushfleet provision broker`.
listener {port}{listen}
cafile {path}/ca.pem
certfile {path}/server.pem
keyfile {path}/server.key
crlfile {path}/crl.pem
tls_version tlsv1.2
require_certificate true

# Who somebody is says the certificate alone. Both lines: with the first only, a device could name another's client id and
# take over its session.
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
acl_file {path}/acl

# The broker is a cache: the orchestrator can publish everything again.
persistence true
persistence_location {data}/
autosave_interval 300
persistent_client_expiration 14d

max_packet_size 1048576
# More at once let a reader keep up with a flood; the bytes bound its memory.
max_inflight_messages 64
max_inflight_bytes 8388608
# Beyond these the broker drops in silence: room for a burst of the largest cohort while the orchestrator is away.
max_queued_messages 20000
max_queued_bytes 536870912
set_tcp_nodelay true
"""

_README = """\
# The broker of the fleet {fleet}

What lies here was written by `hushfleet provision broker`. `server.key` is secret; everything else is public.

| file | what |
|---|---|
| `mosquitto.conf` | configuration for Mosquitto 2, port {port}, TLS with client certificates |
| `ca.pem`, `server.pem`, `server.key` | the fleet's CA; the broker's certificate for {hosts}, until {until} |
| `crl.pem` | withdrawn certificates |
| `acl` | who may publish and read what: rules for every device, and a section for the orchestrator and each committee member |

{run}
A device that the owner approves can connect at once: nothing changes here. After `hushfleet provision device revoke`,
`committee deal`, another orchestrator or a renewed server certificate the owner's command writes this folder anew, where it can
reach it; else type `{again}`. Then put it in place and **restart** the broker as above.
Sessions and what is retained survive that. Do not reload it (SIGHUP): up to Mosquitto 2.0 a reload while a device is offline
damages the broker's memory, and it ends some time later (Debian 12 has 2.0.11; 2.1 is the first without that fault).

The log says `Warning: ACL pattern ... does not contain '%c' or '%u'` at each start: those rules are for everybody on purpose.
"""

_IN_PLACE = """\
Start it, as the user who owns this folder:

    mosquitto -c {path}/mosquitto.conf

To restart it, stop that (Ctrl-C, or `kill PID`) and start it again.

To run it as Debian's service on another machine, write the folder with `hushfleet provision broker --service`.
"""

_SERVICE = """\
Put it in place on the broker's machine (Debian, Raspberry Pi OS), from the folder that holds this page:

    sudo apt install mosquitto
    sudo install -d -m 750 -o root -g mosquitto {path}
    sudo install -m 640 -o root -g mosquitto acl ca.pem crl.pem server.key server.pem {path}/
    sudo install -m 644 mosquitto.conf /etc/mosquitto/mosquitto.conf
    sudo systemctl restart mosquitto

Later, after this folder was written anew: the third line and the last again.
"""

_USER = "%u"
"""Mosquitto puts the user's name for it."""


@dataclass(frozen=True, slots=True)
class Access:
    """One identity that may connect. Every member is a device."""

    identity: str
    orchestrator: bool = False
    member: bool = False


def access(registry: VaultContents) -> tuple[Access, ...]:
    """The identities that may speak to the broker, each with its role."""
    roster = registry.verified
    members = set(roster.roster.committee) if roster else set()
    devices = tuple(Access(one.device_id, member=one.device_id in members) for one in registry.devices)
    return (*devices, *((Access(registry.orchestrator.device_id, orchestrator=True),) if registry.orchestrator else ()))


@dataclass(frozen=True)
class Guests:
    """The identities that the broker of a fleet serves, with the CA that knows them and the list of withdrawn certificates."""

    fleet: str
    access: Iterable[Access]
    authority: "Authority"
    revocations: bytes
    now: datetime


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """The place of a broker: the names and addresses that devices connect to, and where and as whom it runs.

    `path` and `data`: where its folder and its state will be when it runs; the folder that is written, and `data` in it, if None.
    `user` and `listen` as for `configuration`.
    """

    hosts: Sequence[str]
    port: int = 8883
    path: Path | None = None
    data: Path | None = None
    user: str = ""
    listen: str = ""


def place_of(folder: BrokerFolder, port: int) -> BrokerPlace:
    """The place of the broker whose folder the vault remembers."""
    if folder.service:
        return BrokerPlace(folder.hosts, port, SERVICE_PATH, SERVICE_DATA, SERVICE_USER)
    return BrokerPlace(folder.hosts, port, user="root" if os.geteuid() == 0 else "")  # else it could not read its folder


def acl_text(fleet: str, access: Iterable[Access]) -> str:
    """Mosquitto's `acl_file` (PROTOCOL 7): patterns for every device's own topics, so that a new one needs no new file, and sections.

    A section adds what the orchestrator or a member may do besides.
    """
    sections = [_rules("pattern", rules_of(fleet, _USER, {Role.EVERYBODY, Role.DEVICE}))]
    for one in access:
        require_ids(fleet, one.identity)
        roles = ({Role.ORCHESTRATOR} if one.orchestrator else set()) | ({Role.MEMBER, Role.OWN_MEMBER} if one.member else set())
        if roles:
            sections.append(f"user {one.identity}\n" + _rules("topic", rules_of(fleet, one.identity, roles)))
    return "\n\n".join(sections) + "\n"


def _rules(directive: str, rules: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{directive} {_VERBS[verb]} {topic}" for verb, topic in rules)


def configuration(fleet: str, *, port: int, path: Path, data: Path, user: str = "", listen: str = "") -> str:
    """`mosquitto.conf` for a folder that will stand at `path` and keep its state in `data`.

    `user`: whom a broker started as root becomes; Mosquitto's default if empty. `listen`: the one name or address of this machine
    to listen on; all if empty.
    """
    text = _CONFIGURATION.format(fleet=fleet, port=port, path=path, data=data, listen=f" {listen}" if listen else "")
    return text + (f"\n# Whom the broker becomes if root starts it.\nuser {user}\n" if user else "")


def write_broker(out: Path, guests: Guests, place: BrokerPlace) -> None:
    """Write or renew the broker's folder `out`. Key and certificate stay as they are while they fit."""
    path = (place.path or out).absolute()
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    if place.path is None and place.data is None:
        (out / "data").mkdir(mode=0o700, exist_ok=True)
    until = _server_certificate(out, guests.authority, place.hosts, guests.now)
    readme = _README.format(
        fleet=guests.fleet,
        port=place.port,
        hosts=", ".join(place.hosts),
        until=f"{until:%Y-%m-%d}",
        run=(_IN_PLACE if place.path is None else _SERVICE).format(path=path),
        again=typed("provision", "broker"),
    )
    write_durably(out / "ca.pem", guests.authority.certificate_pem)
    write_durably(out / "crl.pem", guests.revocations)
    write_durably(out / "acl", acl_text(guests.fleet, guests.access).encode())
    data = place.data or path / "data"
    text = configuration(guests.fleet, port=place.port, path=path, data=data, user=place.user, listen=place.listen)
    write_durably(out / "mosquitto.conf", text.encode())
    write_durably(out / "README.md", readme.encode())


def _server_certificate(out: Path, authority: "Authority", hosts: Sequence[str], now: datetime) -> datetime:
    """Make sure of `server.key` and `server.pem`; when the certificate ends."""
    key, certificate = out / "server.key", out / "server.pem"
    here = key.exists() and certificate.exists()
    if not (here and authority.serves(key.read_bytes(), certificate.read_bytes(), hosts, now)):
        key_pem, certificate_pem = authority.issue_to_broker(hosts, now)
        write_durably(key, key_pem)
        write_durably(certificate, certificate_pem)
    from hushfleet.owner.certificates import ends  # noqa: PLC0415 -- the cryptography, when it is needed

    return ends(certificate.read_bytes())
