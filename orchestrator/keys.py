"""The orchestrator's own keys: made where they are used, kept in its state folder, never sent anywhere."""

from typing import ClassVar

from hushfleet.documents import EnrolledRole
from hushfleet.link.party import PartyKeys


class OrchestratorKeys(PartyKeys):
    """An id with its Ed25519 and X25519 key."""

    FILE: ClassVar[str] = "orchestrator.keys"
    ROLE: ClassVar[EnrolledRole] = EnrolledRole.ORCHESTRATOR
    ENROL: ClassVar[str] = "hushfleet orchestrator enrol"
