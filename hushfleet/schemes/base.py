"""What every role knows of a round: the plan, the roster and the committee's public key."""

from dataclasses import dataclass, field
from functools import lru_cache

from hushfleet.documents import Plan, VerifiedPlan, VerifiedRoster
from hushfleet.encryption.paillier.contexts import partial_context, proof_context
from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.encryption.paillier.knowledge import MOST_CIPHERTEXTS
from hushfleet.encryption.paillier.packing import plaintext_count
from hushfleet.privacy.blocks import encoded_length, padded_dimension
from hushfleet.privacy.plan_integers import PlanIntegers
from hushfleet.signing import Signed
from hushfleet.wire import Body
from hushfleet.wire.limits import LIMITS

SCHEMES = ("paillier",)
_BODY_OVERHEAD_BYTES = 16 << 10
"""More than everything in a body besides its ciphertexts."""
"""The schemes that every role of this version knows; each role's registry holds exactly these."""


@lru_cache(maxsize=8)
def public_key(paillier: bytes, members: int, *, insecure: bool = False) -> PublicKey:
    """The committee's public key from a roster's Paillier part. Raises `PeerError`; `insecure` admits test keys."""
    return PublicKey.from_bytes(paillier, members=members, insecure=insecure)


def fits_a_body(length: int, slot_bits: int, paillier: bytes, members: int) -> bool:
    """True if the orchestrator takes a contribution of `length` encoded values in such slots: L <= 4096 and within `LIMITS.body`."""
    modulus_bytes = len(paillier) // (2 * members + 5)
    count = plaintext_count(length, slot_bits, 8 * modulus_bytes)
    return count <= MOST_CIPHERTEXTS and count * (2 * modulus_bytes + 5) + _BODY_OVERHEAD_BYTES <= LIMITS.body


@dataclass(frozen=True)
class RoundTerms:
    """A round as all roles see it. `plan` has passed `check_plan` against `roster`. `insecure_keys` is for tests only."""

    verified_plan: VerifiedPlan
    roster: VerifiedRoster
    insecure_keys: bool = False

    @property
    def plan(self) -> Plan:
        """What the orchestrator asks."""
        return self.verified_plan.plan

    @property
    def plan_hash(self) -> bytes:
        """SHA-256 of the signed plan, 32 bytes."""
        return self.verified_plan.digest

    @property
    def key(self) -> PublicKey:
        """The committee's Paillier key."""
        return public_key(self.roster.roster.paillier, len(self.roster.roster.committee), insecure=self.insecure_keys)

    @property
    def padded(self) -> int:
        """`d'`, the length of an encoded vector."""
        return padded_dimension(self.plan.dimension)

    @property
    def length(self) -> int:
        """The length of an encoded vector: d', or the part of it that the plan keeps."""
        return encoded_length(self.plan.dimension, self.plan.privacy.keep_one_in)

    @property
    def encoding(self) -> PlanIntegers:
        """The plan's integers and scale, as `hushfleet.privacy` takes them."""
        n = self.plan.privacy
        return PlanIntegers(
            b2=n.b2,
            variance=n.variance,
            bound=n.bound,
            k_min=n.min_devices,
            k_max=n.max_devices,
            scale=self.plan.scale,
            clip_norm=self.plan.clip_norm,
            padded=self.padded,
            slot_bits=n.slot_bits,
            keep_one_in=n.keep_one_in,
        )

    def proof_context(self, device_id: str, masked_hash: bytes) -> bytes:
        """What a proof of plaintext knowledge is bound to."""
        return proof_context(self.plan_hash, device_id, masked_hash)

    def partial_context(self, root: bytes, index: int) -> bytes:
        """What a proof of a correct partial is bound to."""
        return partial_context(self.plan.key_id, self.plan.round, self.plan_hash, root, index)


@dataclass(frozen=True, slots=True)
class EncryptedUpdate:
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
