"""A key share as the owner gives it: root-signed, then sealed to one member (PROTOCOL 2)."""

import hmac

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


class GrantedShare:
    """The share that a member holds, as the owner granted it; empty before there is one. Only its scheme reads it.

    Its repr shows no value, it compares in constant time and no encoder takes it.
    """

    # Not a dataclass: msgspec would encode one without being asked twice.
    __slots__ = ("_data",)

    def __init__(self, data: bytes = b"") -> None:
        self._data = data

    @property
    def data(self) -> bytes:
        """The secret bytes; for the scheme that opens sums with them, and for the member's own store."""
        return self._data

    def __bool__(self) -> bool:
        return bool(self._data)

    def __repr__(self) -> str:
        return f"GrantedShare({'secret' if self else 'none'})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GrantedShare) and hmac.compare_digest(self._data, other._data)

    def __hash__(self) -> int:
        return hash(type(self))  # a default of frozen dataclasses has to have one; this one says nothing

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a key share does not leave the process by accident; store its data on purpose")


NO_SHARE = GrantedShare()


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
