"""Going on from a backup of the vault: the newest roster that anybody holds is adopted, or serial numbers are skipped.

A vault that was restored has forgotten the rosters signed since. Another roster under a serial number that is in use stops every
device (`roster-conflict`), so the next one has to come after the last that was signed.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from hushfleet.codec import encode
from hushfleet.documents import VerifiedRoster, open_roster
from hushfleet.errors import LocalError, Refusal
from hushfleet.signing import Signed
from provisioning.contents import Identity, VaultContents

MOST_SKIPPED = 1_000_000


@dataclass(frozen=True, slots=True)
class Recovery:
    """The registry to go on with, and the lines a person reads before."""

    registry: VaultContents
    lines: tuple[str, ...]


def adopting(registry: VaultContents, signed: Signed, now: datetime) -> Recovery:
    """Go on after a newer roster of this vault's root key, from the orchestrator or a device.

    Whoever the roster does not hold with the very keys known here is forgotten, and its certificates are withdrawn: it was revoked or
    enrolled anew since the backup. Raises `PeerError` as `open_roster`; `LocalError(VAULT_DAMAGED)` for an older roster.
    """
    roster, current = open_roster(signed, registry.root), registry.verified
    if current is not None and roster.roster.serial < current.roster.serial:
        text = f"roster {roster.roster.serial} is older than roster {current.roster.serial}, which this vault knows"
        raise LocalError(Refusal.VAULT_DAMAGED, text, next_step="Fetch the newest roster from the orchestrator or a device.")
    after = msgspec.structs.replace(registry, roster=encode(roster.signed), skipped=0, grants={})
    gone = [one for one in registry.identities() if not _holds(roster, one, registry)]
    for one in gone:
        after = after.without(one.device_id).withdrawing(one.device_id, now)
        if after.orchestrator == one:
            after = msgspec.structs.replace(after, orchestrator=None)
    known = {one.device_id for one in after.devices}
    missing = [entry.device_id for entry in roster.roster.devices if entry.device_id not in known]
    lines = (
        f"Adopt roster {roster.roster.serial}; the next one will be {roster.roster.serial + 1}.",
        *(f"! {one.device_id} has no place in it, or other keys: forgotten here, its certificates withdrawn." for one in gone),
        *(f"! {name} is in it and unknown here: approve its request again, or the next roster leaves it out." for name in missing),
        "! Certificates issued since the backup are unknown and cannot be withdrawn: enrol those devices again, with new keys.",
    )
    return Recovery(after, lines)


def skipping(registry: VaultContents, count: int) -> Recovery:
    """Leave `count` serial numbers and key epochs out: more than were signed since the backup."""
    current = registry.verified
    serial = current.roster.serial if current else 0
    after = msgspec.structs.replace(registry, skipped=registry.skipped + count)
    next_one = serial + 1 + after.skipped
    line = f"After roster {serial} comes roster {next_one}: none that was signed since the backup may have that number or a higher one."
    who = tuple(f"{one.device_id}, {one.role}, fingerprint {one.fingerprint}: is it still in the fleet?" for one in registry.identities())
    return Recovery(after, (line, *who))


def _holds(roster: VerifiedRoster, identity: Identity, registry: VaultContents) -> bool:
    if identity == registry.orchestrator:
        named = (roster.roster.orchestrator_verify_key, roster.roster.orchestrator_sealing_key)
        return named == (identity.verify_key, identity.sealing_key)
    return identity.entry in roster.roster.devices
