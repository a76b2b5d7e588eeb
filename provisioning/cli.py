"""`hushfleet provision`: the fleet owner's commands. They import what they need when they run."""

import socket
from pathlib import Path
from typing import Any

import click

from hushfleet.codec import decode, encode
from hushfleet.documents import VerifiedRoster, fingerprint, open_enrolment_request
from hushfleet.documents.limits import MAX_ENROLMENT_REQUEST_BYTES
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.ids import parse_id
from hushfleet.program.output import STDOUT, write_output
from hushfleet.signing import Signed
from hushfleet.system.files import read_named
from hushfleet.typed import typed
from provisioning.afterwards import after_approval, how_to_start
from provisioning.broker import SERVICE_PATH
from provisioning.cli_committee import committee
from provisioning.cli_contract import contract
from provisioning.cli_device import device
from provisioning.cli_policy import policy
from provisioning.cli_vault import vault
from provisioning.command import OwnerCommand, owner_command
from provisioning.contents import Address, BrokerFolder, VaultContents
from provisioning.show import show

_MOST_BYTES = MAX_ENROLMENT_REQUEST_BYTES + 256


def _host(ctx: click.Context, param: click.Parameter, value: Any) -> Any:  # noqa: ANN401 -- one host or several
    from hushfleet.owner import certificates  # noqa: PLC0415 -- the cryptography, when it is needed

    for host in (value,) if isinstance(value, str) else value:
        if not certificates.is_host(host):
            raise click.BadParameter(f"{host!r} is no host name or address", ctx, param)
    return value


def _fleet(ctx: click.Context, param: click.Parameter, value: str) -> str:
    try:
        return parse_id(value)
    except PeerError as error:
        raise click.BadParameter(error.message, ctx, param) from error


@click.group(
    epilog="Example: hushfleet provision init greenhouse. Then, for each device: hushfleet provision approve pi-01.request",
)
def provision() -> None:
    """The owner's vault: who is in the fleet, and what no orchestrator may do."""


@provision.command(epilog="Example: hushfleet provision init greenhouse --broker-host broker.lan")
@click.argument("name", callback=_fleet)
@click.option("--broker-host", default=socket.gethostname, callback=_host, show_default="this machine", help="Where the broker is.")
@click.option("--broker-port", default=8883, show_default=True, type=click.IntRange(1, 65535), help="Its TLS port.")
@owner_command(passphrase=True)
def init(*, command: OwnerCommand, name: str, broker_host: str, broker_port: int) -> None:
    """Make the vault of the fleet NAME: the root key, a certificate authority and a policy."""
    from provisioning.vault import Vault  # noqa: PLC0415 -- as above

    command.folder.require_room()
    folder = command.folder.path
    with Vault.create(folder, name, command.source.read(new=True), broker=Address(broker_host, broker_port)) as vault:
        result = {"fleet": name, "vault": f"{folder}", "root_fingerprint": vault.root_fingerprint}
    lines = (
        f"The vault of {name} is in {folder}. Keep a backup of it and remember the passphrase: nobody can reset it.",
        f"Root key, to compare when a device joins: {result['root_fingerprint']}",
        f"Devices look for the broker at {broker_host}:{broker_port}; to change that: {typed('provision', 'broker', '--host', 'HOST')}",
        f"The policy is {command.folder.policy_file}; read it before you deal a key.",
        f"Next, on each device: {typed('agent', 'enrol')}",
        f"Then here: {typed('provision', 'approve', 'NAME.request')}",
    )
    command.tell(result, lines)


@provision.command(epilog="Example: hushfleet provision approve pi-01.request pi-02.request")
@click.argument("requests", metavar="REQUEST...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@owner_command(passphrase=True, consent=True)
def approve(*, command: OwnerCommand, requests: tuple[Path, ...]) -> None:
    """Enrol the devices or the orchestrator that made each REQUEST, once you have compared the fingerprints."""
    from hushfleet.owner import certificates  # noqa: PLC0415 -- as above
    from provisioning import proposals  # noqa: PLC0415 -- as above

    signed, now = [_read_request(request) for request in requests], certificates.now()
    change, done = command.carry(lambda registry: proposals.approval(registry, command.policy, signed, now))
    told = []
    for one in signed:
        asked = open_enrolment_request(one)
        bundle = command.folder.bundle_file(asked.device_id) if done and asked.device_id in change.bundles else None
        told.append(
            {
                "id": asked.device_id,
                "role": asked.role.value,
                "fingerprint": fingerprint(encode(one)),
                "bundle": f"{bundle}" if bundle else None,
            }
        )
    result = {"approved": done, "serial": change.roster.serial if change.roster else None, "identities": told}
    command.tell(result, after_approval(command, change, [Path(one["bundle"]) for one in told if one["bundle"]]) if done else ())


def _read_request(path: Path) -> Signed:
    try:
        signed = decode(Signed, read_named(path, _MOST_BYTES), max_bytes=_MOST_BYTES)
        open_enrolment_request(signed)
    except PeerError as error:
        text = f"{path} is no good enrolment request: {error.message}"
        raise PeerError(error.reason, text, next_step=f"To see what it is: {typed('provision', 'show', path)}") from error
    return signed


@provision.command(epilog="Example: hushfleet provision broker --out broker --host broker.lan --host 192.168.1.5")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="The folder to write. Default: as before.")
@click.option("--host", "hosts", multiple=True, callback=_host, help="A name or address of the broker; bundles name the first.")
@click.option("--port", type=click.IntRange(1, 65535), help="Its TLS port. Default: as before.")
@click.option("--service", is_flag=True, help=f"For Debian's Mosquitto service: the folder will stand in {SERVICE_PATH}.")
@owner_command(passphrase=True)
def broker(*, command: OwnerCommand, out: Path | None, hosts: tuple[str, ...], port: int | None, service: bool) -> None:
    """Write what the broker needs: mosquitto.conf, certificates, withdrawn certificates and access rules.

    Once for a fleet: the vault remembers the folder and writes it anew when its access rules or certificates change.
    """
    registry = command.registry
    before, last = registry.broker, registry.broker_folder
    where = out.absolute() if out else Path(last.folder) if last else None
    if where is None:
        raise click.UsageError("no broker's folder was written yet: name one with --out FOLDER")
    address = Address(hosts[0] if hosts else before.host, port or before.port)
    names = (address.host, *(hosts or (last.hosts if last else ())), "localhost", "127.0.0.1")
    as_service = service or (out is None and last is not None and last.service)
    folder = BrokerFolder(f"{where}", tuple(dict.fromkeys(names)), as_service)
    with command.open() as vault:
        vault.move_broker(address)
        vault.keep_broker(folder)
        registry = vault.registry
    identities = registry.identities()
    result = {"folder": f"{where}", "host": address.host, "port": address.port, "hosts": list(folder.hosts), "identities": len(identities)}
    lines = [f"{where} is written, for {', '.join(folder.hosts)} and {len(identities)} identities.", *how_to_start(folder)]
    if address != before and any(registry.joins(one.device_id) for one in identities):
        lines.append(f"The bundles name {address.host}:{address.port} now; who has joined before needs its bundle again.")
    command.tell(result, lines)


@provision.group(epilog="Example: hushfleet provision roster export fleet.roster")
def roster() -> None:
    """The signed list of who is in the fleet."""


@roster.command(epilog="Example: hushfleet provision roster export fleet.roster, then: hushfleet orchestrator publish-roster fleet.roster")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@owner_command()
def export(*, command: OwnerCommand, file: Path) -> None:
    """Write the roster in force to FILE, or with '-' to standard output, for the orchestrator to publish. Needs no passphrase."""
    verified = _in_force(command.registry)
    write_output(file, encode(verified.signed))
    if file == STDOUT:
        return
    result = {"file": f"{file}", "serial": verified.roster.serial, "devices": len(verified.roster.devices)}
    command.tell(result, (f"Roster {verified.roster.serial} is in {file}. Next: {typed('orchestrator', 'publish-roster', file)}",))


def _in_force(registry: VaultContents) -> VerifiedRoster:
    verified = registry.verified
    if verified is None:
        text = "no roster is signed yet: the first one comes with the committee"
        raise LocalError(Refusal.NOT_ENROLLED, text, next_step=f"Run: {typed('provision', 'committee', 'deal', 'ID...')}")
    return verified


for command in (committee, contract, device, policy, show, vault):
    provision.add_command(command)
