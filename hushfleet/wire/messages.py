"""Messages that devices, members and the orchestrator exchange (PROTOCOL 5).

A scheme says what `items`, `proof`, the masked vector and the sealed shares hold; the round treats them alike.
"""

from typing import Annotated

import msgspec

from hushfleet.codec import Message, decode, encode
from hushfleet.documents import DecryptionRequest
from hushfleet.documents.limits import MAX_COHORT, MAX_MEMBERS
from hushfleet.documents.validation import require_counts, require_hashes, require_ids
from hushfleet.labels import Label, labelled_hash, length_prefixed, unsigned
from hushfleet.signing import Signed
from hushfleet.wire.limits import LIMITS


class Body(Message, frozen=True):
    """The statement that a device signs: it took part in the round of `plan_hash` with exactly this.

    `masked_hash` is the labelled hash of the masked vector. `items` are fixed-width ciphertexts (schemes `paillier`,
    `masked`) or hashes of sealed shares (`shared`); `proof` is the proof of plaintext knowledge, empty in `shared`.
    Raises `PeerError`: `ID_MALFORMED`, `MESSAGE_MALFORMED`.
    """

    plan_hash: bytes
    device_id: str
    masked_hash: bytes
    items: tuple[bytes, ...]
    proof: bytes

    def __post_init__(self) -> None:
        require_ids(self.device_id)
        require_hashes(self.plan_hash, self.masked_hash)


def masked_vector_hash(data: bytes) -> bytes:
    """H(masked vector), 32 bytes: the part of a body that binds the masked vector beside it (PROTOCOL 3, contexts)."""
    return labelled_hash(Label.MASKED_VECTOR, data)


NO_MASKED_VECTOR = masked_vector_hash(b"")
"""The hash of a scheme that has no masked vector."""


class Contribution(Message, frozen=True):
    """The content of a contribution, sealed to the orchestrator: a signed body, and what the body holds hashes of."""

    body: Signed
    masked_vector: bytes
    sealed_shares: tuple[bytes, ...]


class Answer(Message, frozen=True):
    """The statement that a member signs: its partials for the sum of exactly the contributions under `root`.

    Raises `PeerError(MESSAGE_MALFORMED)`.
    """

    key_id: bytes
    round: int
    plan_hash: bytes
    root: bytes
    index: int
    items: tuple[bytes, ...]
    proof: bytes

    def __post_init__(self) -> None:
        require_hashes(self.key_id, self.plan_hash, self.root)
        require_counts(self.round, least=1)
        require_counts(self.index, least=1, most=MAX_MEMBERS)


class SealedAnswer(Message, frozen=True):
    """The content of a sealed answer: a signed answer."""

    answer: Signed


class KeyShareDelivery(Message, frozen=True, tag="key-share"):
    """A key share, signed by the owner and sealed to the member: the bytes of `hushfleet.documents.sign_grant`, sealed."""

    sealed: bytes


class SharesDelivery(Message, frozen=True, tag="shares"):
    """One member's sealed shares of the cohort under `root`, in id order: each has its hash in the body of its device.

    Raises `PeerError(MESSAGE_MALFORMED)`.
    """

    plan_hash: bytes
    root: bytes
    shares: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=MAX_COHORT)]

    def __post_init__(self) -> None:
        require_hashes(self.plan_hash, self.root)


class Inbox(Message, frozen=True):
    """A delivery to one committee member alone."""

    item: KeyShareDelivery | SharesDelivery


class Evidence(Message, frozen=True):
    """Two headers for one round of one key, signed by the orchestrator, with different roots."""

    first: Signed
    second: Signed


def contribution_seal_context(key_id: bytes, round_number: int, device_id: str) -> bytes:
    """The context that a sealed contribution is bound to, besides its recipient."""
    return key_id + unsigned(round_number, 8) + length_prefixed(device_id.encode())


def answer_seal_context(key_id: bytes, round_number: int, index: int) -> bytes:
    """The context that a sealed answer is bound to, besides its recipient."""
    return key_id + unsigned(round_number, 8) + unsigned(index, 2)


def encode_signed(signed: Signed) -> bytes:
    """The wire form of a signed document."""
    return encode(signed)


def decode_signed(data: bytes, *, max_bytes: int = LIMITS.signed_document) -> Signed:
    """A signed document, not yet verified. Raises `PeerError`."""
    return decode(Signed, data, max_bytes=max_bytes)


def decode_decryption_request(data: bytes) -> DecryptionRequest:
    """A decryption request, not yet verified. Raises `PeerError`."""
    return decode(DecryptionRequest, data, max_bytes=LIMITS.request)


def decode_inbox(data: bytes) -> Inbox:
    """A delivery to a member, its content not yet verified. Raises `PeerError`."""
    return decode(Inbox, data, max_bytes=LIMITS.inbox)
