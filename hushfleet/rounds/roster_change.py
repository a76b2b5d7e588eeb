"""A new roster: one decision for device, member and orchestrator (PROTOCOL 2).

Device and member of one program take the same bytes in one step (`machine.together`): both decide by this function from the same
roster, and what follows is stored in one transaction.
"""

from dataclasses import dataclass

from hushfleet.codec import encode
from hushfleet.documents import VerifiedRoster, newer_roster, open_roster
from hushfleet.errors import FaultyOwner, PeerError, Refusal
from hushfleet.rounds.effects import KeepStop
from hushfleet.signing import VerifyKey
from hushfleet.wire import Evidence, decode_signed


@dataclass(frozen=True, slots=True)
class SameRoster:
    """The roster in force has arrived again: nothing follows."""


@dataclass(frozen=True, slots=True)
class NewRoster:
    """A newer roster, to be stored and followed."""

    roster: VerifiedRoster


@dataclass(frozen=True, slots=True)
class RosterConflict:
    """Two rosters that the root key signed carry one serial: `stop` stores the proof, and nothing more is done under this key."""

    stop: KeepStop
    error: FaultyOwner


RosterDecision = SameRoster | NewRoster | RosterConflict


def decide_roster(current: VerifiedRoster | None, data: bytes, root: VerifyKey) -> RosterDecision:
    """The decision on a roster as it arrived. Raises `PeerError` for one that is not the owner's, older, or of another fleet."""
    candidate = open_roster(decode_signed(data), root)
    try:
        roster = newer_roster(current, candidate)
    except PeerError as error:
        if error.reason is not Refusal.ROSTER_CONFLICT or current is None or not isinstance(error, FaultyOwner):
            raise
        evidence = encode(Evidence(current.signed, candidate.signed))
        return RosterConflict(KeepStop(current.key_id, Refusal.ROSTER_CONFLICT, evidence), error)
    return SameRoster() if current is not None and roster.digest == current.digest else NewRoster(roster)
