"""`hushfleet provision device`: who is in the fleet."""

from typing import Any

import click

from hushfleet.documents import EnrolledRole
from hushfleet.program.certificate_age import certificate_text, days_left
from hushfleet.typed import typed
from provisioning.afterwards import after_broker_change, publish_roster
from provisioning.command import OwnerCommand, owner_command
from provisioning.contents import Identity, VaultContents


@click.group(epilog="Example: hushfleet provision device list")
def device() -> None:
    """List, show, revoke: the devices of the fleet."""


@device.command(name="list", epilog="Example: hushfleet provision device list --json")
@owner_command()
def list_command(*, command: OwnerCommand) -> None:
    """All devices and the orchestrator. Needs no passphrase."""
    registry = command.registry
    rows = [describe(registry, one) for one in registry.identities()]
    form = "{id:<24} {role:<14} {fingerprint}  certificate {certificate}  {state}"
    lines = [form.format(**row) for row in rows]
    command.tell_unchecked(
        {"fleet": registry.fleet, "devices": rows}, lines or [f"Nobody yet. Next: {typed('provision', 'approve', 'NAME.request')}"]
    )


@device.command(name="show", epilog="Example: hushfleet provision device show pi-01")
@click.argument("device_id", metavar="ID")
@owner_command()
def show_command(*, command: OwnerCommand, device_id: str) -> None:
    """One device, or the orchestrator, with its public keys. Needs no passphrase."""
    registry = command.registry
    identity = registry.find(device_id) or registry.device(device_id)
    row = {
        **describe(registry, identity),
        "signing_key": identity.verify_key.hex(),
        "sealing_key": identity.sealing_key.hex(),
        "bundle": f"{command.folder.bundle_file(device_id)}" if command.folder.bundle_file(device_id).exists() else None,
    }
    command.tell_unchecked(row, [f"{name.replace('_', ' '):<20} {value}" for name, value in row.items()])


@device.command(epilog="Example: hushfleet provision device revoke pi-07")
@click.argument("device_id", metavar="ID")
@owner_command(passphrase=True, consent=True)
def revoke(*, command: OwnerCommand, device_id: str) -> None:
    """Take a device out: a new roster without it, and its certificate withdrawn."""
    from hushfleet.owner import certificates  # noqa: PLC0415 -- the cryptography, when it is needed
    from provisioning import proposals  # noqa: PLC0415 -- as above

    now = certificates.now()
    change, done = command.carry(lambda registry: proposals.revocation(registry, command.policy, device_id, now))
    result = {"id": device_id, "revoked": done, "serial": change.roster.serial if change.roster else None}
    lines = (
        f"{device_id} is revoked in the vault. It counts once the others know:",
        *((publish_roster(command),) if change.roster else ()),
        *after_broker_change(command.registry.broker_folder),
    )
    command.tell(result, lines if done else ())


def describe(registry: VaultContents, identity: Identity) -> dict[str, Any]:
    """One identity in words, without its keys."""
    from hushfleet.owner import certificates  # noqa: PLC0415 -- as above

    until = certificates.ends(identity.certificate.encode()) if identity.certificate else None
    day = int(until.timestamp()) // 86_400 if until else 0
    return {
        "id": identity.device_id,
        "role": _role(registry, identity),
        "fingerprint": identity.fingerprint,
        "approved": f"{identity.approved:%Y-%m-%d}",
        "certificate": certificate_text(day),
        "certificate_until": f"{until:%Y-%m-%d}" if until else None,
        "certificate_days": days_left(day) if day else None,
        "state": _state(registry, identity),
    }


def _role(registry: VaultContents, identity: Identity) -> str:
    roster = registry.verified
    if roster is None or identity.device_id not in roster.roster.committee:
        return identity.role.value
    return f"member {roster.member_index(identity.device_id)}"


def _state(registry: VaultContents, identity: Identity) -> str:
    if registry.joins(identity.device_id):
        return "in force"
    if registry.roster and identity.role is EnrolledRole.DEVICE:
        return "new keys, in force from the next committee deal"
    return "waits for the first committee deal"
