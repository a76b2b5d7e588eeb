"""The orchestrator's state folder: what every party keeps (`hushfleet.program.folder`), and these.

| name | what |
|---|---|
| `orchestrator.keys` | id, Ed25519 and X25519 key |
| `orchestrator.db`, `blobs/`, `archive/` | `orchestrator.store.store` |
| `dealt` | the committee's key at the last join |
| `rosters/` | rosters handed over by `publish-roster` |
| `give-up` | the wish of `abort`, with its reason |
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from hushfleet.documents import EnrolledRole
from hushfleet.program.folder import PartyFolder, state_of
from hushfleet.program.keys import PartyKeys


class StateFolder(PartyFolder):
    """One orchestrator's folder."""

    __slots__ = ()
    JOIN: ClassVar[tuple[str, ...]] = ("orchestrator", "join", "orchestrator.bundle")

    @property
    def pending_rosters(self) -> Path:
        """The folder in which `publish-roster` leaves rosters."""
        return self.path / "rosters"

    @property
    def wish_to_give_up(self) -> Path:
        """The file in which `abort` leaves the reason for which the round under way is to be given up."""
        return self.path / "give-up"


def default_state(environment: Mapping[str, str] = os.environ) -> Path:
    """The state folder of an orchestrator that is run by hand."""
    return state_of("orchestrator", environment)


class OrchestratorKeys(PartyKeys):
    """An id with its Ed25519 and X25519 key."""

    FILE: ClassVar[str] = "orchestrator.keys"
    ROLE: ClassVar[EnrolledRole] = EnrolledRole.ORCHESTRATOR
    ENROL: ClassVar[tuple[str, ...]] = ("orchestrator", "enrol")
