"""The agent's state folder: what every party keeps (`hushfleet.link.party`), and these.

| file | what |
|---|---|
| `device.keys` | id, Ed25519 and X25519 key |
| `agent.db`, `contribution.blob` | `edge_agent.store` |
| `problems.json` | `edge_agent.problems` |
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from hushfleet.link.party import PartyFolder, state_of

SERVICE_STATE = Path("/var/lib/hushfleet-agent")


class StateFolder(PartyFolder):
    """One agent's folder."""

    __slots__ = ()
    JOIN: ClassVar[str] = "hushfleet agent join NAME.bundle"


def default_state(environment: Mapping[str, str] = os.environ) -> Path:
    """Where an agent that is run by hand keeps its state."""
    return state_of("agent", environment)
