"""What a scheme puts into a contribution, and a signed body after its signature was checked."""

from dataclasses import dataclass, field

from hushfleet.signing import Signed
from hushfleet.wire import Body


@dataclass(frozen=True, slots=True)
class Parts:
    """The scheme's part of one contribution; see `hushfleet.wire.Body` for what each holds."""

    masked_hash: bytes
    items: tuple[bytes, ...]
    proof: bytes
    masked_vector: bytes = field(default=b"", repr=False)
    sealed_shares: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifiedBody:
    """A body whose signature by its enrolled device was checked. Its proof is still to be verified by the scheme."""

    body: Body
    signed: Signed = field(repr=False)
    digest: bytes = field(repr=False)
