"""A key share as the owner gives it: root-signed, then sealed to one member (PROTOCOL 2)."""

from hushfleet.codec import Message, decode, encode
from hushfleet.documents.limits import MAX_GRANT_BYTES, MAX_MEMBERS
from hushfleet.documents.validation import require_counts, require_hashes, require_ids
from hushfleet.errors import FaultyOwner, Refusal
from hushfleet.labels import Label
from hushfleet.signing import Signed, SigningKey, VerifyKey


class KeyShareGrant(Message, frozen=True):
    """Member `index` (from 1) of the committee named by `key_id` holds `share` (big-endian). Its repr hides the share.

    Raises `PeerError`: `ID_MALFORMED`, `MESSAGE_MALFORMED`.
    """

    fleet: str
    key_id: bytes
    member_id: str
    index: int
    share: bytes

    def __post_init__(self) -> None:
        require_ids(self.fleet, self.member_id)
        require_hashes(self.key_id)
        require_counts(self.index, least=1, most=MAX_MEMBERS)

    def __repr__(self) -> str:
        return f"KeyShareGrant({self.member_id}, index {self.index}, share hidden)"


class SignedGrant(Message, frozen=True):
    """A signed grant, in the form that is sealed. Its repr hides everything."""

    signed: Signed

    def __repr__(self) -> str:
        return "SignedGrant(secret)"


def sign_grant(grant: KeyShareGrant, root: SigningKey) -> bytes:
    """The bytes to seal to the member."""
    return encode(SignedGrant(root.sign(Label.KEY_SHARE, encode(grant))))


def open_grant(data: bytes, root: VerifyKey, *, member_id: str, key_id: bytes) -> KeyShareGrant:
    """Verify and decode an unsealed grant.

    Raises `PeerError`; `FaultyOwner(SHARE_FOR_ANOTHER)` if it names another member or another key.
    """
    signed = decode(SignedGrant, data, max_bytes=MAX_GRANT_BYTES).signed
    grant = decode(KeyShareGrant, root.open(Label.KEY_SHARE, signed), max_bytes=MAX_GRANT_BYTES)
    if grant.member_id != member_id or grant.key_id != key_id:
        raise FaultyOwner(Refusal.SHARE_FOR_ANOTHER, f"a key share for {grant.member_id} of another committee or member")
    return grant
