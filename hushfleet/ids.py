"""Names of fleets and devices, and the sizes of the byte strings that identify things."""

import re
from typing import NewType

from hushfleet.errors import PeerError, Refusal

HASH_BYTES = 32

DeviceId = NewType("DeviceId", str)
FleetId = NewType("FleetId", str)
Digest = NewType("Digest", bytes)

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def parse_id(text: str) -> str:
    """Return `text` if it is an id (`[a-z0-9][a-z0-9-]{0,62}`; PROTOCOL, notation), else raise `PeerError`."""
    if not _ID.fullmatch(text):
        raise PeerError(Refusal.ID_MALFORMED, f"{text[:80]!r} is not an id: 1 to 63 of a-z, 0-9 and '-', not beginning with '-'")
    return text


def device_id(text: str) -> DeviceId:
    """A validated device (or orchestrator) id."""
    return DeviceId(parse_id(text))


def fleet_id(text: str) -> FleetId:
    """A validated fleet id."""
    return FleetId(parse_id(text))
