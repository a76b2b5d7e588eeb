"""All sides of the scheme `plain`. The mask is the sum of one number per member; a member's answer is the sum of its numbers.

Every member has to answer, so the threshold is met by giving each member the mask's shares of a degree 2f polynomial over the
integers modulo 2^61 - 1, which any 2f + 1 members interpolate.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from hushfleet.documents import Plan, VerifiedRoster
from hushfleet.encryption.sealing import SealingPublicKey, seal, unseal
from hushfleet.errors import FaultyDevice, FaultyMember, LocalError, PeerError, Refusal
from hushfleet.labels import Label, length_prefixed, sha256
from hushfleet.privacy import EncodedVector
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import (
    Costs,
    EncryptedAnswer,
    EncryptedUpdate,
    MemberKeys,
    OpenedContribution,
    RoundTerms,
    VerifiedBody,
)
from hushfleet.wire import Answer, masked_vector_hash

NAME = "plain"
MODULUS = (1 << 61) - 1
WIDTH = 8


class PlainProfile:
    """Satisfies `SchemeProfile`."""

    name = NAME
    needs_dealt_key = False

    def costs(self, plan: Plan, roster: VerifiedRoster) -> Costs:
        size = WIDTH * plan.dimension + 100 * len(roster.roster.committee)
        return Costs(contribution_bytes=size, request_bytes=400 * plan.privacy.max_devices, member_cpu_s=0.001)

    def misfit(self, plan: Plan, roster: VerifiedRoster) -> str:
        return "" if plan.dimension <= 1000 else "more than a thousand values"


PROFILE = PlainProfile()


class PlainDevice:
    """Satisfies `DeviceScheme`: one mask for all coordinates, shared to the committee."""

    profile = PROFILE

    def encrypt(self, terms: RoundTerms, device_id: str, encoded: EncodedVector, randomness: Randomness) -> EncryptedUpdate:
        coefficients = [randomness.below(MODULUS) for _ in range(terms.roster.threshold)]
        masked = [(int(value) + coefficients[0]) % MODULUS for value in encoded.values]
        shares = []
        for index, member in enumerate(terms.roster.roster.committee, start=1):
            value = sum(coefficient * index**power for power, coefficient in enumerate(coefficients)) % MODULUS
            recipient = SealingPublicKey(terms.roster.device(member).sealing_key)
            shares.append(seal(recipient, Label.SEAL_SHARE, _context(terms, device_id), _packed([value])))
        return EncryptedUpdate(tuple(map(sha256, shares)), b"", _packed(masked), tuple(shares))


class PlainMember:
    """Satisfies `MemberScheme`: opens its shares of the cohort and adds them up."""

    profile = PROFILE
    takes_shares = True

    def check_keys(self, roster: VerifiedRoster, keys: MemberKeys, *, insecure_keys: bool) -> None:
        """Needs the sealing key alone."""

    def check(self, terms: RoundTerms, bodies: Sequence[VerifiedBody], randomness: Randomness, *, executor: Executor | None = None) -> None:
        for body in bodies:
            _check_body(terms, body)

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
        total = 0
        for one, sealed in zip(bodies, shares, strict=True):
            if sha256(sealed) != one.body.items[keys.index - 1]:
                raise PeerError(Refusal.SHARE_MISMATCH, f"the share of {one.body.device_id} is not the one in its body")
            total += _unpacked(unseal(keys.sealing, Label.SEAL_SHARE, _context(terms, one.body.device_id), sealed))[0]
        return EncryptedAnswer((_packed([total % MODULUS]),), b"")


@dataclass(frozen=True, slots=True)
class PlainSum:
    """Satisfies `Sum`: the masked vectors added up, and how many."""

    terms: RoundTerms = field(repr=False)
    values: tuple[int, ...]

    def add(self, contribution: OpenedContribution) -> Self:
        rows = zip(self.values, _unpacked(contribution.masked_vector), strict=True)
        return replace(self, values=tuple((one + other) % MODULUS for one, other in rows))

    def to_bytes(self) -> bytes:
        return _packed(self.values)

    def archived(self) -> bytes:
        return self.to_bytes()

    def check_answer(self, answer: Answer) -> None:
        if len(answer.items) != 1 or len(answer.items[0]) != WIDTH or answer.proof:
            raise FaultyMember(Refusal.PARTIAL_INVALID, answer.index, "not one number")

    def open(self, answers: Mapping[int, Answer], *, executor: Executor | None = None) -> npt.NDArray[np.int64]:
        threshold = self.terms.roster.threshold
        if len(answers) < threshold:
            raise LocalError(Refusal.COMBINE_TOO_FEW, f"{len(answers)} answers, {threshold} are needed")
        mask = _at_zero({index: _unpacked(answer.items[0])[0] for index, answer in sorted(answers.items())[:threshold]})
        plain = [(value - mask) % MODULUS for value in self.values]
        return np.array([value - MODULUS if value > MODULUS // 2 else value for value in plain], dtype=np.int64)

    def faulty(self, answers: Mapping[int, Answer]) -> dict[int, FaultyMember]:
        return {}


class PlainOrchestrator:
    """Satisfies `OrchestratorScheme`."""

    profile = PROFILE

    def find_faulty(
        self, terms: RoundTerms, contributions: Sequence[OpenedContribution], randomness: Randomness, *, executor: Executor | None = None
    ) -> dict[int, FaultyDevice]:
        faulty = {}
        for position, one in enumerate(contributions):
            try:
                _check_body(terms, one.verified)
                _check_beside(terms, one)
            except FaultyDevice as error:
                faulty[position] = error
        return faulty

    def start(self, terms: RoundTerms) -> PlainSum:
        return PlainSum(terms, (0,) * terms.length)

    def restore(self, terms: RoundTerms, data: bytes) -> PlainSum:
        return PlainSum(terms, tuple(_unpacked(data)))

    def audited(self, terms: RoundTerms, bodies: Sequence[VerifiedBody], archived: bytes, randomness: Randomness) -> PlainSum:
        for body in bodies:
            _check_body(terms, body)
        return self.restore(terms, archived)


def _check_body(terms: RoundTerms, verified: VerifiedBody) -> None:
    body = verified.body
    if len(body.items) != len(terms.roster.roster.committee) or any(len(item) != len(sha256(b"")) for item in body.items) or body.proof:
        raise FaultyDevice(Refusal.CIPHERTEXT_COUNT, body.device_id, "not one hash for each member, or something beside them")


def _check_beside(terms: RoundTerms, one: OpenedContribution) -> None:
    if tuple(map(sha256, one.sealed_shares)) != one.verified.body.items:
        raise FaultyDevice(Refusal.SHARE_MISMATCH, one.device_id, "sent other shares than its body names")
    if len(one.masked_vector) != WIDTH * terms.length or masked_vector_hash(one.masked_vector) != one.verified.body.masked_hash:
        raise FaultyDevice(Refusal.MASKED_VECTOR, one.device_id, "sent another masked vector than its body names")


def _context(terms: RoundTerms, device_id: str) -> bytes:
    return terms.plan_hash + length_prefixed(device_id.encode())


def _packed(values: Sequence[int]) -> bytes:
    return b"".join(value.to_bytes(WIDTH, "big") for value in values)


def _unpacked(data: bytes) -> list[int]:
    if len(data) % WIDTH:
        raise PeerError(Refusal.MESSAGE_MALFORMED, "not a row of numbers")
    return [int.from_bytes(data[at : at + WIDTH], "big") for at in range(0, len(data), WIDTH)]


def _at_zero(points: Mapping[int, int]) -> int:
    total = 0
    for here, value in points.items():
        numerator = denominator = 1
        for other in points:
            if other != here:
                numerator = numerator * -other % MODULUS
                denominator = denominator * (here - other) % MODULUS
        total += value * numerator * pow(denominator, -1, MODULUS)
    return total % MODULUS
