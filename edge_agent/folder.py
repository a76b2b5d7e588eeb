"""The agent's state folder: what every party keeps (`hushfleet.program.folder`), and these.

| file | what |
|---|---|
| `device.keys` | id, Ed25519 and X25519 key |
| `agent.db`, `contribution.blob` | `edge_agent.store` |
| `models/` | `edge_agent.kept_models` |
| `problems.json` | `edge_agent.logs` |
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from hushfleet.documents import DeviceEntry, EnrolledRole
from hushfleet.program.folder import PartyFolder, state_of
from hushfleet.program.keys import PartyKeys

SERVICE_STATE = Path("/var/lib/hushfleet-agent")


class StateFolder(PartyFolder):
    """One agent's folder."""

    __slots__ = ()
    JOIN: ClassVar[tuple[str, ...]] = ("agent", "join", "NAME.bundle")


def default_state(environment: Mapping[str, str] = os.environ) -> Path:
    """The state folder of an agent that is run by hand."""
    return state_of("agent", environment)


class DeviceKeys(PartyKeys):
    """An id with its Ed25519 and X25519 key."""

    FILE: ClassVar[str] = "device.keys"
    ROLE: ClassVar[EnrolledRole] = EnrolledRole.DEVICE
    ENROL: ClassVar[tuple[str, ...]] = ("agent", "enrol")

    @property
    def entry(self) -> DeviceEntry:
        """The public half, as it stands in a roster."""
        return DeviceEntry.make(self.device_id, self.signing.verify_key.raw, self.sealing.public.raw)
