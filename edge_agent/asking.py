"""Questions to the person at the terminal, and the one that joining asks."""

import sys
from pathlib import Path

import click

from edge_agent import enrolment
from edge_agent.config import Config
from edge_agent.keys import DeviceKeys
from edge_agent.state import StateFolder
from hushfleet.link.party import Offer


def join_fleet(folder: StateFolder, bundle: Path, *, yes: bool, config: Config, err: bool) -> Offer[DeviceKeys]:
    """Show whose bundle it is, ask, join, and delete a bundle that held a key share (PROTOCOL 2)."""
    offer = enrolment.read_bundle(folder, bundle.read_bytes())
    click.echo(f"Fleet {offer.bundle.fleet}, root key {offer.root_fingerprint}" + (" (pinned)" if offer.pinned else ""), err=err)
    if not offer.pinned:
        ask("Is this the root key's fingerprint that the owner sees (hushfleet provision show)?", yes=yes)
    enrolment.join(folder, offer, insecure_keys=config.testing.insecure_keys)
    click.echo(f"Joined as {offer.bundle.device_id}{', a committee member' if offer.is_member else ''}.", err=err)
    if offer.bundle.grant:
        bundle.unlink()
        click.echo(f"{bundle} is deleted: it held this member's key share. Delete copies of it.", err=err)
    return offer


def ask(question: str, *, yes: bool) -> None:
    """Raises `click.UsageError` where nobody can answer, `click.Abort` for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Answer at a terminal, or add --yes.")
    click.confirm(question, abort=True)
