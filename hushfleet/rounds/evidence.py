"""Two headers for one round of one key with different roots: they prove that the orchestrator equivocated (PROTOCOL 5.4)."""

from hushfleet.codec import decode
from hushfleet.documents import Header, open_header
from hushfleet.errors import PeerError, Refusal
from hushfleet.signing import VerifyKey
from hushfleet.wire import Evidence
from hushfleet.wire.limits import LIMITS


def verify_evidence(data: bytes, orchestrator: VerifyKey) -> Header:
    """The first of the two headers. Raises `PeerError` unless both are signed and contradict each other."""
    evidence = decode(Evidence, data, max_bytes=LIMITS.evidence)
    first, second = open_header(evidence.first, orchestrator), open_header(evidence.second, orchestrator)
    same_round = (first.fleet, first.key_id, first.round) == (second.fleet, second.key_id, second.round)
    if not same_round or first.root == second.root:
        raise PeerError(Refusal.EVIDENCE, "these headers do not contradict each other")
    return first
