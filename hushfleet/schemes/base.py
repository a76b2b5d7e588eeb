"""The seam of the aggregation schemes: a round's terms as all roles see them, and one protocol per role (PROTOCOL 4).

A scheme is a folder that brings a `SchemeProfile` and one object per role: `DeviceScheme`, `MemberScheme`, `OrchestratorScheme`.
The profile says its name, what a round costs, and which plans it cannot carry. Rounds, audit, stores and job check speak to
these protocols and name no scheme; they find the objects in the registries `devices`, `members` and `orchestrators`.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from hushfleet.documents import GrantedShare, Plan, VerifiedPlan, VerifiedRoster
from hushfleet.encryption.sealing import SealingKey
from hushfleet.errors import FaultyDevice, FaultyMember
from hushfleet.privacy import EncodedVector
from hushfleet.privacy.blocks import encoded_length, padded_dimension
from hushfleet.privacy.plan_integers import PlanIntegers
from hushfleet.randomness import Randomness
from hushfleet.signing import Signed
from hushfleet.wire import Answer, Body


@dataclass(frozen=True)
class RoundTerms:
    """A round as all roles see it. `plan` has passed `check_plan` against `roster`. `insecure_keys` is for tests only."""

    verified_plan: VerifiedPlan
    roster: VerifiedRoster
    insecure_keys: bool = False

    @property
    def plan(self) -> Plan:
        """The orchestrator's demand."""
        return self.verified_plan.plan

    @property
    def plan_hash(self) -> bytes:
        """SHA-256 of the signed plan, 32 bytes."""
        return self.verified_plan.digest

    @property
    def padded(self) -> int:
        """`d'`, the length of a padded vector."""
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


@dataclass(frozen=True, slots=True)
class EncryptedUpdate:
    """The scheme's part of one contribution; see `hushfleet.wire.Body` for what each field holds."""

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


@dataclass(frozen=True, slots=True)
class OpenedContribution:
    """A verified body with what came beside it to the orchestrator; the masked vector is the one whose hash the body holds."""

    verified: VerifiedBody
    masked_vector: bytes = field(default=b"", repr=False)
    sealed_shares: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def device_id(self) -> str:
        """The contributing device."""
        return self.verified.body.device_id


@dataclass(frozen=True, slots=True)
class MemberKeys:
    """Everything that a member may need to open sums: its index from 1, its sealing key, and its granted share."""

    index: int
    sealing: SealingKey = field(repr=False)
    share: GrantedShare


@dataclass(frozen=True, slots=True)
class EncryptedAnswer:
    """The scheme's part of one answer; see `hushfleet.wire.Answer`."""

    items: tuple[bytes, ...]
    proof: bytes


@dataclass(frozen=True, slots=True)
class Costs:
    """The estimated cost of one round with a full cohort: bytes on the wire, and CPU seconds of a committee member.

    `remark` is a sentence for the person who plans the job, empty for an ordinary cost; `slow` says why a job has to ask for
    this cost by `accept_slow`, empty if it need not.
    """

    contribution_bytes: int
    request_bytes: int
    member_cpu_s: float
    remark: str = ""
    slow: str = ""


class SchemeProfile(Protocol):
    """The facts of a scheme that every role may know, from a plan and a roster alone."""

    @property
    def name(self) -> str:
        """The name in plans and policies."""

    @property
    def needs_dealt_key(self) -> bool:
        """True if the committee opens sums with shares of a key that the owner deals."""

    def costs(self, plan: Plan, roster: VerifiedRoster) -> Costs:
        """The cost of one round under `plan`."""

    def misfit(self, plan: Plan, roster: VerifiedRoster) -> str:
        """The reason why no contribution can carry `plan` in this fleet, a sentence for a person; empty if one can."""


class Scheme(Protocol):
    """The part that the three roles have in common."""

    @property
    def profile(self) -> SchemeProfile:
        """The facts of this scheme."""


class DeviceScheme(Scheme, Protocol):
    """The device's side: turns an encoded vector into what leaves the device."""

    def encrypt(self, terms: RoundTerms, device_id: str, encoded: EncodedVector, randomness: Randomness) -> EncryptedUpdate:
        """Encrypt with fresh randomness; a second call makes a second, different contribution: never send both."""


class MemberScheme(Scheme, Protocol):
    """The committee member's side: checks the cohort and answers for its sum."""

    @property
    def takes_shares(self) -> bool:
        """True if each contribution carries a sealed share for every member, delivered beside the request."""

    def check_keys(self, roster: VerifiedRoster, keys: MemberKeys, *, insecure_keys: bool) -> None:
        """Return if `keys` open sums under this roster.

        Raises `LocalError(SHARE_MISSING)` if the scheme needs a granted share and there is none yet, `PeerError` for one that
        does not fit the committee's key.
        """

    def check(self, terms: RoundTerms, bodies: Sequence[VerifiedBody], randomness: Randomness, *, executor: Executor | None = None) -> None:
        """Raise `FaultyDevice` naming the first contribution that must not be summed."""

    def answer(
        self,
        terms: RoundTerms,
        keys: MemberKeys,
        root: bytes,
        bodies: Sequence[VerifiedBody],
        randomness: Randomness,
        *,
        shares: Sequence[bytes] = (),
        executor: Executor | None = None,
    ) -> EncryptedAnswer:
        """The answer for the sum of all `bodies`, which the member forms itself.

        `shares` are this member's sealed shares in the order of `bodies`, none unless `takes_shares`. Raises `PeerError` for one
        that does not belong to its body.
        """


class Sum(Protocol):
    """The running sum of a round's verified contributions: a value, so that adding makes another one."""

    def add(self, contribution: OpenedContribution) -> Self:
        """The sum with one more contribution, which `find_faulty` has passed."""

    def to_bytes(self) -> bytes:
        """The form in which the store keeps it."""

    def archived(self) -> bytes:
        """The part of it that an auditor cannot compute from the bodies; empty if there is none."""

    def check_answer(self, answer: Answer) -> None:
        """Raise `FaultyMember` unless the answer has the form of one for this sum; whether it is right shows when the sum is opened."""

    def open(self, answers: Mapping[int, Answer], *, executor: Executor | None = None) -> npt.NDArray[np.int64]:
        """The plain sum, int64 `(length,)`, from checked answers by member index.

        Raises `LocalError(COMBINE_TOO_FEW)` below the threshold, and where a further answer may help; `PeerError` for answers that give
        no sum: `faulty` says which of them are proven wrong, and the others may open it.
        """

    def faulty(self, answers: Mapping[int, Answer]) -> Mapping[int, FaultyMember]:
        """Index -> reason, for every checked answer that is proven wrong; none where a scheme's answers prove nothing."""


class OrchestratorScheme(Scheme, Protocol):
    """The orchestrator's side, and an auditor's: checks contributions and sums them; holds no secret."""

    def find_faulty(
        self, terms: RoundTerms, contributions: Sequence[OpenedContribution], randomness: Randomness, *, executor: Executor | None = None
    ) -> dict[int, FaultyDevice]:
        """Position -> reason, for every contribution that must not be counted."""

    def start(self, terms: RoundTerms) -> Sum:
        """The sum of no contributions."""

    def restore(self, terms: RoundTerms, data: bytes) -> Sum:
        """The inverse of `Sum.to_bytes`. Raises `PeerError(MESSAGE_MALFORMED)`."""

    def audited(self, terms: RoundTerms, bodies: Sequence[VerifiedBody], archived: bytes, randomness: Randomness) -> Sum:
        """The sum of a finished round from its bodies and `Sum.archived`. Raises `FaultyDevice`, `PeerError` if they do not hold."""
