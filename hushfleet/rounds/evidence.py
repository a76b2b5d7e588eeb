"""Two headers for one round of one key with different roots: they prove that the orchestrator equivocated (PROTOCOL 5.4).

Everybody who receives evidence verifies it here before a word is said about it: devices, members and the orchestrator.
"""

from hushfleet.codec import decode
from hushfleet.documents import Header, VerifiedRoster, open_header
from hushfleet.errors import PeerError, Refusal
from hushfleet.signing import VerifyKey
from hushfleet.wire import Evidence
from hushfleet.wire.limits import LIMITS


def verify_evidence(roster: VerifiedRoster, sender: str, data: bytes) -> Header:
    """The first of the two headers that the committee member `sender` published.

    Raises `PeerError(NOT_ENROLLED)` for anybody else, before the data are looked at; else as `open_evidence`.
    """
    roster.member_index(sender)
    return open_evidence(data, roster.orchestrator)


def open_evidence(data: bytes, orchestrator: VerifyKey) -> Header:
    """The first of two headers that contradict each other, whoever published them.

    Raises `PeerError`: `EVIDENCE` if they do not; what `open_header` raises if the orchestrator did not sign one of them.
    """
    evidence = decode(Evidence, data, max_bytes=LIMITS.evidence)
    first, second = open_header(evidence.first, orchestrator), open_header(evidence.second, orchestrator)
    same_round = (first.fleet, first.key_id, first.round) == (second.fleet, second.key_id, second.round)
    if not same_round or first.root == second.root:
        raise PeerError(Refusal.EVIDENCE, "these headers do not contradict each other")
    return first
