"""`hushfleet provision policy`: what no orchestrator can lower."""

from typing import TYPE_CHECKING

import click

from hushfleet.program.settings import text_of
from hushfleet.system.durable import write_durably
from hushfleet.typed import typed
from provisioning.afterwards import publish_roster
from provisioning.command import OwnerCommand, owner_command
from provisioning.differences import policy_lines
from provisioning.policy_file import as_table, next_step, parse_policy
from provisioning.policy_text import with_settings

if TYPE_CHECKING:
    from provisioning.proposals import Proposal
    from provisioning.vault import Vault


@click.group(epilog="Example: hushfleet provision policy show")
def policy() -> None:
    """The limits that no orchestrator can lower."""


@policy.command(name="show", epilog="Example: hushfleet provision policy show --json")
@owner_command()
def show_command(*, command: OwnerCommand) -> None:
    """The policy as its file says it, and what of it is not in force yet. Needs no passphrase."""
    file = command.policy
    values, roster = policy_lines(file.as_policy()), command.registry.verified
    in_force = policy_lines(roster.policy) if roster else None
    lines = [f"{name} = {value}{_not_yet(name, value, in_force)}" for name, value in values.items()]
    if in_force not in (None, values):
        lines.append(f"The file is not in force yet. Next: {typed('provision', 'policy', 'set')}")
    architectures = {one.name: one.digest.hex() for one in file.allowed}
    command.tell({**as_table(file), "architectures": architectures, "in_force": in_force == values}, lines)


def _not_yet(name: str, value: str, in_force: dict[str, str] | None) -> str:
    return f"  (in force: {in_force[name]})" if in_force and in_force[name] != value else ""


@policy.command(name="set", epilog="Example: hushfleet provision policy set cohort.min_devices=12 models.allowed=softmax:64x10")
@click.argument("assignments", nargs=-1, metavar="[TABLE.KEY=VALUE]...")
@owner_command(passphrase=True, consent=True)
def set_command(*, command: OwnerCommand, assignments: tuple[str, ...]) -> None:
    """Set values in policy.toml, comments kept, and sign a roster with the policy.

    Without a value: sign the file as it stands, after editing it by hand. Before the first committee nothing is signed yet.
    """
    from provisioning import proposals  # noqa: PLC0415 -- the cryptography, when it is needed

    path = command.folder.policy_file
    new = with_settings(text_of(path, next_step=next_step()), assignments)
    wanted = parse_policy(new, path)

    def write_and_sign(vault: "Vault", change: "Proposal") -> "Proposal":
        write_durably(path, new.encode())  # first: the next command must not sign the old policy again
        return vault.carry_out(change)

    change, done = command.carry(lambda registry: proposals.renewal(registry, wanted), write_and_sign)
    if not done and not command.dry_run:
        write_durably(path, new.encode())
    serial = change.roster.serial if done and change.roster else None
    command.tell({"signed": done, "serial": serial}, _after(command, serial))


def _after(command: OwnerCommand, serial: int | None) -> tuple[str, ...]:
    if serial:
        return (f"Roster {serial} carries this policy. {publish_roster(command)}",)
    if command.dry_run or command.registry.roster:
        return ()
    deal = typed("provision", "committee", "deal", "ID...")
    return (f"{command.folder.policy_file} is in order. The first committee signs it: {deal}",)
