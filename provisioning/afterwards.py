"""The steps that are left to people after a change: who carries what to whom, and the command to type there."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hushfleet.typed import typed
from provisioning.command import OwnerCommand
from provisioning.contents import BrokerFolder

if TYPE_CHECKING:  # with it comes the cryptography, which no help needs
    from provisioning.proposals import Proposal


def after_approval(command: OwnerCommand, change: "Proposal", bundles: Sequence[Path]) -> tuple[str, ...]:
    """For the owner of devices just approved, or with a renewed certificate."""
    names = ", ".join(change.certify)
    if not bundles:
        return (f"{names}: approved.",)
    orchestrator = change.registry.orchestrator
    devices = [one for one in bundles if orchestrator is None or one.stem != orchestrator.device_id]
    lines = [f"{names}: approved. The broker lets every approved device in: it needs nothing for a new one."]
    for one in bundles:
        join = typed("agent", "join", one.name) if one in devices else typed("orchestrator", "join", one.name)
        lines.append(f"Carry {one} to {one.stem} and type there: {join}")
    if devices:
        lines.append(f"(as a service: sudo {typed('agent', 'install', 'NAME.bundle')})")
    replaced = change.before.orchestrator is not None and change.before.orchestrator.entry != (orchestrator and orchestrator.entry)
    if replaced:
        lines += after_broker_change(change.registry.broker_folder)
    if change.roster is None:
        return (*lines, "The roster is as it was: nobody else needs anything.")
    if replaced:
        return (*lines, "Its bundle brings the roster along, and its next `run` publishes that.")
    return (*lines, publish_roster(command))


def publish_roster(command: OwnerCommand) -> str:
    """The way of a new roster to everybody."""
    file = command.folder.roster_file
    return f"Carry {file} to the orchestrator and type there: {typed('orchestrator', 'publish-roster', file.name)}"


def how_to_start(folder: BrokerFolder) -> tuple[str, ...]:
    """The commands that start the broker, or put a folder written anew in force."""
    where = Path(folder.folder)
    if folder.service:
        return (f"Put it in place and restart the broker: see {where / 'README.md'}",)
    return (f"To start the broker, or to restart it (do not reload it): mosquitto -c {shlex.quote(f'{where}/mosquitto.conf')}",)


def after_broker_change(folder: BrokerFolder | None) -> tuple[str, ...]:
    """For a change that the broker has to know: members, the orchestrator, or withdrawn certificates."""
    if folder is None:
        return (f"Write the broker's folder: {typed('provision', 'broker', '--out', 'broker')}",)
    if not Path(folder.folder).is_dir():
        return (f"{folder.folder} is gone; write the broker's folder: {typed('provision', 'broker', '--out', 'broker')}",)
    return (f"{folder.folder} is written anew; put it in place. Then restart the broker, which keeps its sessions.", *how_to_start(folder))
