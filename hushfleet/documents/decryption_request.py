"""The decryption request: one header signed by the orchestrator over one cohort (PROTOCOL 5.4)."""

from collections.abc import Iterable
from typing import Annotated

import msgspec

from hushfleet.codec import Message, decode, encode
from hushfleet.documents.limits import MAX_COHORT, MAX_HEADER_BYTES
from hushfleet.documents.validation import require_counts, require_hashes, require_ids
from hushfleet.labels import Label, labelled_hash, length_prefixed, unsigned
from hushfleet.signing import Signed, SigningKey, VerifyKey


class Header(Message, frozen=True):
    """The cohort that the orchestrator commits to: `count` contributions with this `root`, in this round of this key.

    Raises `PeerError`: `ID_MALFORMED`, `MESSAGE_MALFORMED`.
    """

    fleet: str
    key_id: bytes
    round: int
    plan_hash: bytes
    root: bytes
    count: int

    def __post_init__(self) -> None:
        require_ids(self.fleet)
        require_hashes(self.key_id, self.plan_hash, self.root)
        require_counts(self.round, least=1)
        require_counts(self.count)


class DecryptionRequest(Message, frozen=True):
    """The signed header, the signed plan, and the signed bodies in id order, at most `MAX_COHORT`: a decoder counts before it builds."""

    header: Signed
    plan: Signed
    bodies: Annotated[tuple[Signed, ...], msgspec.Meta(max_length=MAX_COHORT)]


def cohort_root(plan_hash: bytes, cohort: Iterable[tuple[str, bytes]]) -> bytes:
    """32 bytes over the (device id, body hash) pairs, which must come in id order (PROTOCOL 5.4)."""
    leaves = [length_prefixed(device_id.encode()) + body_hash for device_id, body_hash in cohort]
    return labelled_hash(Label.ROOT, plan_hash, unsigned(len(leaves), 4), *leaves)


def sign_header(header: Header, orchestrator: SigningKey) -> Signed:
    """The orchestrator's signature over an encoded header."""
    return orchestrator.sign(Label.HEADER, encode(header))


def open_header(signed: Signed, orchestrator: VerifyKey) -> Header:
    """Verify, then decode. Raises `PeerError`."""
    return decode(Header, orchestrator.open(Label.HEADER, signed), max_bytes=MAX_HEADER_BYTES)
