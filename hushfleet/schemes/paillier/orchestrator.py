"""The orchestrator's side: check contributions and answers, add up, open the sum. No secret comes here."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from hushfleet.encryption.paillier.packing import unpack
from hushfleet.encryption.paillier.partials import Partial, check_form, combine, verify_partial
from hushfleet.encryption.paillier.public import ciphertexts_from_bytes, sum_ciphertexts
from hushfleet.errors import FaultyDevice, FaultyMember, Refusal
from hushfleet.labels import concatenated
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import OpenedContribution, RoundTerms, VerifiedBody
from hushfleet.schemes.paillier.answers import from_wire
from hushfleet.schemes.paillier.cohort import find_faulty, numbers
from hushfleet.schemes.paillier.profile import PROFILE, answer_context, ciphertext_count, key_of
from hushfleet.wire import Answer


@dataclass(frozen=True, slots=True)
class PaillierSum:
    """Satisfies `Sum`: the product of the contributions' ciphertexts, one for each position; none before the first."""

    terms: RoundTerms = field(repr=False)
    ciphertexts: tuple[int, ...] = ()

    def add(self, contribution: OpenedContribution) -> Self:
        """The sum with one more contribution."""
        new = numbers(contribution.verified.body)
        rows = [self.ciphertexts, new] if self.ciphertexts else [new]
        return replace(self, ciphertexts=sum_ciphertexts(key_of(self.terms), rows))

    def to_bytes(self) -> bytes:
        """The ciphertexts at fixed width."""
        return concatenated(self.ciphertexts, key_of(self.terms).ciphertext_bytes)

    def archived(self) -> bytes:
        """Empty: the bodies give the sum."""
        return b""

    def check_answer(self, answer: Answer) -> None:
        """Raise `FaultyMember` unless the answer holds a unit modulo N for each ciphertext, under its own index."""
        self._partial(answer)

    def open(self, answers: Mapping[int, Answer], *, executor: Executor | None = None) -> npt.NDArray[np.int64]:
        """The plain sum, int64 `(length,)`. Raises as `Sum`."""
        key, partials = key_of(self.terms), [self._partial(answers[index]) for index in sorted(answers)]
        plaintexts = combine(key, self.ciphertexts, partials, executor=executor)
        return unpack(plaintexts, self.terms.length, self.terms.plan.privacy.slot_bits, key)

    def faulty(self, answers: Mapping[int, Answer]) -> dict[int, FaultyMember]:
        """Index -> reason, for every answer whose proof fails: nobody is named in any other way."""
        found = {}
        for index, answer in answers.items():
            try:
                context = answer_context(self.terms, answer.root, index)
                verify_partial(key_of(self.terms), self.ciphertexts, self._partial(answer), context)
            except FaultyMember as error:
                found[index] = error
        return found

    def _partial(self, answer: Answer) -> Partial:
        """The answer's partial in the form that `combine` takes. Raises `FaultyMember`."""
        key, count = key_of(self.terms), len(self.ciphertexts)
        if len(answer.items) != count:
            raise FaultyMember(Refusal.PARTIAL_INVALID, answer.index, f"{len(answer.items)} partials for {count} ciphertexts")
        partial = from_wire(key, answer.index, answer.items, answer.proof)
        check_form(key, count, partial)
        return partial


class PaillierOrchestrator:
    """Satisfies `OrchestratorScheme`."""

    profile = PROFILE

    def find_faulty(
        self, terms: RoundTerms, contributions: Sequence[OpenedContribution], randomness: Randomness, *, executor: Executor | None = None
    ) -> dict[int, FaultyDevice]:
        """Position -> reason, for every contribution that must not be counted."""
        del executor  # one batch of proofs is one product of powers
        faulty = find_faulty(terms, [one.verified for one in contributions], randomness)
        for position, one in enumerate(contributions):
            if one.masked_vector or one.sealed_shares:
                faulty[position] = FaultyDevice(Refusal.MASKED_VECTOR, one.device_id, "sent parts that scheme paillier does not have")
        return faulty

    def start(self, terms: RoundTerms) -> PaillierSum:
        """The sum of no contributions."""
        return PaillierSum(terms)

    def restore(self, terms: RoundTerms, data: bytes) -> PaillierSum:
        """The inverse of `PaillierSum.to_bytes`. Raises `PeerError`."""
        return PaillierSum(terms, ciphertexts_from_bytes(key_of(terms), data, ciphertext_count(terms)) if data else ())

    def audited(self, terms: RoundTerms, bodies: Sequence[VerifiedBody], archived: bytes, randomness: Randomness) -> PaillierSum:
        """The sum of the bodies, every proof verified. `archived` has no say. Raises `FaultyDevice`."""
        del archived
        faulty = find_faulty(terms, bodies, randomness)
        if faulty:
            raise faulty[min(faulty)]
        return PaillierSum(terms, sum_ciphertexts(key_of(terms), (numbers(one.body) for one in bodies)))
