"""The checks that a member, the orchestrator and an auditor share: the form of a body."""

from hushfleet.errors import FaultyDevice, Refusal
from hushfleet.ids import HASH_BYTES
from hushfleet.schemes.base import RoundTerms, VerifiedBody


def check_body(terms: RoundTerms, verified: VerifiedBody) -> None:
    """Raise `FaultyDevice` unless the body holds one hash of a sealed share for each member, in order, and no proof."""
    body, members = verified.body, len(terms.roster.roster.committee)
    if len(body.items) != members or any(len(item) != HASH_BYTES for item in body.items):
        raise FaultyDevice(Refusal.SHARE_MISMATCH, body.device_id, f"not {members} hashes of sealed shares, one for each member")
    if body.proof:
        raise FaultyDevice(Refusal.KNOWLEDGE_PROOF, body.device_id, "sent a proof, which scheme shared does not have")
