"""The orchestrator's side: add masked vectors up, and take the mask off their sum with the committee's answers."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from hushfleet.aggregation import check_norm
from hushfleet.encryption.ring_mask.parameters import DEGREE
from hushfleet.encryption.ring_mask.public import add, masked_from_bytes, unmask
from hushfleet.encryption.ring_mask.ring import IntVector, Polynomials, pack, unpack
from hushfleet.errors import FaultyDevice, FaultyMember, LocalError, PeerError, Refusal
from hushfleet.labels import sha256, unsigned
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import OpenedContribution, RoundTerms, VerifiedBody
from hushfleet.schemes.shared.bodies import check_body
from hushfleet.schemes.shared.profile import PROFILE, parameters_of
from hushfleet.sharing.interpolation import combine
from hushfleet.sharing.shares import VectorShare
from hushfleet.wire import Answer, masked_vector_hash

_COUNT_BYTES = 4


@dataclass(frozen=True, slots=True, eq=False)
class SharedSum:
    """Satisfies `Sum`: the masked vectors of `count` contributions, added up."""

    terms: RoundTerms = field(repr=False)
    masked: Polynomials = field(repr=False)
    count: int = 0

    def add(self, contribution: OpenedContribution) -> Self:
        """The sum with one more contribution."""
        parameters = parameters_of(self.terms)
        one = masked_from_bytes(contribution.masked_vector, self.terms.length, parameters)
        return replace(self, masked=add(self.masked, one, parameters), count=self.count + 1)

    def to_bytes(self) -> bytes:
        """u32 count, then the coefficients as in a masked vector."""
        return unsigned(self.count, _COUNT_BYTES) + pack(self.masked, parameters_of(self.terms).modulus_bits)

    def archived(self) -> bytes:
        """The whole sum: the bodies hold hashes of the masked vectors and no more."""
        return self.to_bytes()

    def check_answer(self, answer: Answer) -> None:
        """Raise `FaultyMember` unless the answer is one vector of shares."""
        if len(answer.items) != 1 or answer.proof:
            raise FaultyMember(Refusal.PARTIAL_INVALID, answer.index, "did not answer with the sum of its shares and nothing else")
        self._share(answer)

    def open(self, answers: Mapping[int, Answer], *, executor: Executor | None = None) -> IntVector:
        """The plain sum, int64 `(length,)`, from the answers of which a quorum gives one that honest contributions can have made.

        A false answer makes the key, and so the sum, uniform: it cannot pass the bound on the sum's norm. It is not known from
        the answers alone who is at fault, a member or a device that dealt it a bad share. Raises `LocalError(COMBINE_TOO_FEW)`
        while a further answer may help, `PeerError(COMBINE_MISFIT)` if no quorum of all members' answers opens the sum.
        """
        del executor
        threshold, members = self.terms.roster.threshold, len(self.terms.roster.roster.committee)
        if len(answers) < threshold:
            raise LocalError(Refusal.COMBINE_TOO_FEW, f"{len(answers)} answers, {threshold} are needed")
        shares = {index: self._share(answer) for index, answer in sorted(answers.items())}
        for total in self._candidates(shares, threshold):
            return total
        text = f"the answers of the members {sorted(answers)} do not fit together"
        if len(answers) < members:
            raise LocalError(Refusal.COMBINE_TOO_FEW, f"{text}; a further one may open the sum")
        raise PeerError(Refusal.COMBINE_MISFIT, f"{text}, and no {threshold} of them open the sum")

    def faulty(self, answers: Mapping[int, Answer]) -> dict[int, FaultyMember]:
        """None: shares prove nothing, and a misfit may be a device's fault."""
        del answers
        return {}

    def _candidates(self, shares: Mapping[int, VectorShare], threshold: int) -> Iterator[IntVector]:
        """The sums that pass the release check, of each quorum among the shares, the lowest members first."""
        n = self.terms.plan.privacy
        for quorum in itertools.combinations(shares, threshold):
            try:
                key = combine({index: shares[index] for index in quorum}, threshold)
                total = unmask(self.masked, key, self.terms.length, self.terms.plan_hash, parameters_of(self.terms))
                check_norm(total, count=self.count, b2=n.b2, variance=n.variance)
            except PeerError:
                continue
            yield total

    def _share(self, answer: Answer) -> VectorShare:
        try:
            return VectorShare.from_bytes(answer.items[0], index=answer.index, count=DEGREE)
        except PeerError as error:
            raise FaultyMember(Refusal.PARTIAL_INVALID, answer.index, error.message) from error


class SharedOrchestrator:
    """Satisfies `OrchestratorScheme`."""

    profile = PROFILE

    def find_faulty(
        self, terms: RoundTerms, contributions: Sequence[OpenedContribution], randomness: Randomness, *, executor: Executor | None = None
    ) -> dict[int, FaultyDevice]:
        """Position -> reason, for every contribution that must not be counted."""
        del randomness, executor  # hashes are compared one by one
        faulty = {}
        for position, one in enumerate(contributions):
            try:
                check_body(terms, one.verified)
                _check_beside(terms, one)
            except FaultyDevice as error:
                faulty[position] = error
        return faulty

    def start(self, terms: RoundTerms) -> SharedSum:
        """The sum of no contributions."""
        return SharedSum(terms, np.zeros((parameters_of(terms).polynomials(terms.length), DEGREE), np.uint64))

    def restore(self, terms: RoundTerms, data: bytes) -> SharedSum:
        """The inverse of `SharedSum.to_bytes`. Raises `PeerError`."""
        parameters = parameters_of(terms)
        count, packed = int.from_bytes(data[:_COUNT_BYTES], "big"), data[_COUNT_BYTES:]
        if not data:
            return self.start(terms)
        return SharedSum(terms, unpack(packed, parameters.polynomials(terms.length), parameters.modulus_bits), count)

    def audited(self, terms: RoundTerms, bodies: Sequence[VerifiedBody], archived: bytes, randomness: Randomness) -> SharedSum:
        """The archived sum. The bodies bind each masked vector by its hash, and none is kept, so that their adding up is on trust."""
        del randomness
        for verified in bodies:
            check_body(terms, verified)
        total = self.restore(terms, archived)
        if total.count != len(bodies):
            raise PeerError(Refusal.ARCHIVE, f"the archived sum is of {total.count} contributions, the request names {len(bodies)}")
        return total


def _check_beside(terms: RoundTerms, one: OpenedContribution) -> None:
    """The masked vector and the sealed shares are those that the body names. Raises `FaultyDevice`."""
    if tuple(map(sha256, one.sealed_shares)) != one.verified.body.items:
        raise FaultyDevice(Refusal.SHARE_MISMATCH, one.device_id, "sent other shares than its body names")
    wanted = parameters_of(terms).masked_bytes(terms.length)
    if len(one.masked_vector) != wanted or masked_vector_hash(one.masked_vector) != one.verified.body.masked_hash:
        raise FaultyDevice(Refusal.MASKED_VECTOR, one.device_id, f"sent no masked vector of {wanted} bytes, or another than its body names")
