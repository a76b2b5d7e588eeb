"""The state folder that a command works on: the options that name it, and the folder itself."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_agent.folder import StateFolder

service_option = click.option("--service", is_flag=True, help="The service's state folder, /var/lib/hushfleet-agent. Needs root.")


def folder_of(state: Path | None, *, service: bool = False) -> "StateFolder":
    """The folder that `--state` or `--service` names, or the default one. `click.UsageError` for both."""
    from edge_agent.folder import SERVICE_STATE, StateFolder, default_state  # noqa: PLC0415 -- the cryptography, when it is needed

    if service and state is not None:
        raise click.UsageError("--service and --state exclude each other")
    return StateFolder((state or (SERVICE_STATE if service else default_state())).absolute())
