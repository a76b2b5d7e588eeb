"""`hushfleet provision vault`: the vault itself."""

from pathlib import Path

import click

from hushfleet.codec import decode
from hushfleet.documents.limits import MAX_SIGNED_BYTES
from hushfleet.errors import PhaseError
from hushfleet.program.terminal import say
from hushfleet.signing import Signed
from hushfleet.system.files import read_named
from provisioning.command import OwnerCommand, owner_command


@click.group(epilog="Example: hushfleet provision vault recover --roster newest.roster")
def vault() -> None:
    """The vault itself, after it was lost or changed."""


@vault.command(epilog="Example: hushfleet provision vault recover --roster newest.roster, or: --skip 100")
@click.option("--roster", type=click.Path(dir_okay=False, path_type=Path), help="The newest roster, from the orchestrator or a device.")
@click.option("--skip", type=click.IntRange(1, 1_000_000), help="Where no newer roster is to be had: serial numbers to leave out.")
@owner_command(passphrase=True, consent=True)
def recover(*, command: OwnerCommand, roster: Path | None, skip: int | None) -> None:
    """Go on from a backup of the vault, or from a registry that something else has changed, without signing a number twice."""
    if (roster is None) == (skip is None):
        raise click.UsageError("name either --roster FILE or --skip N")
    from hushfleet.owner import certificates  # noqa: PLC0415 -- the cryptography, when it is needed
    from provisioning import recovery  # noqa: PLC0415 -- as above

    registry = command.registry
    signed = decode(Signed, read_named(roster, MAX_SIGNED_BYTES), max_bytes=MAX_SIGNED_BYTES) if roster else None
    change = recovery.adopting(registry, signed, certificates.now()) if signed else recovery.skipping(registry, skip or 0)
    say(*change.lines, err=True)
    if not command.dry_run:
        command.confirm("Go on like this?")
        with command.open(altered=True) as opened:
            if opened.registry != registry:
                raise PhaseError("the vault has changed since this was shown; run the command again")
            opened.recover(change)
    command.tell({"recovered": not command.dry_run, "lines": list(change.lines)}, () if command.dry_run else ("The vault goes on.",))
