"""The orchestrator's side: check contributions and answers, open the sum. No secret comes here."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hushfleet.encryption.paillier.packing import unpack
from hushfleet.encryption.paillier.partials import combine, verify_partial
from hushfleet.errors import FaultyDevice, FaultyMember, Refusal
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import RoundTerms, VerifiedBody
from hushfleet.schemes.paillier.answers import from_wire
from hushfleet.schemes.paillier.cohort import ciphertext_count, cohort_sum, find_faulty
from hushfleet.wire import Answer, Body, Contribution


class PaillierOrchestrator:
    """Satisfies `OrchestratorScheme`."""

    def find_faulty(
        self, setting: RoundTerms, bodies: Sequence[VerifiedBody], contributions: Sequence[Contribution], randomness: Randomness
    ) -> dict[int, FaultyDevice]:
        """Position -> why, for every contribution that must not be counted."""
        faulty = find_faulty(setting, bodies, randomness)
        for position, contribution in enumerate(contributions):
            if contribution.masked_vector or contribution.sealed_shares:
                device_id = bodies[position].body.device_id
                faulty[position] = FaultyDevice(Refusal.MASKED_VECTOR, device_id, "sent parts that scheme paillier does not have")
        return faulty

    def check_answer(self, setting: RoundTerms, bodies: Sequence[Body], answer: Answer) -> None:
        """Raise `FaultyMember` unless the answer opens exactly the sum of `bodies`."""
        if len(answer.items) != ciphertext_count(setting):
            raise FaultyMember(Refusal.PARTIAL_INVALID, answer.index, f"{len(answer.items)} partials")
        partial = from_wire(setting.key, answer.index, answer.items, answer.proof)
        if partial.index != answer.index:
            raise FaultyMember(Refusal.PARTIAL_INVALID, answer.index, f"answered as member {partial.index}")
        total = cohort_sum(setting, bodies)
        verify_partial(setting.key, total.ciphertexts, partial, setting.partial_context(answer.root, answer.index))

    def open(self, setting: RoundTerms, answers: Mapping[int, Answer]) -> npt.NDArray[np.int64]:
        """The sum, int64 `(d',)`, from checked answers of at least `threshold` members. Raises `PeerError`, `LocalError`."""
        partials = [from_wire(setting.key, index, answer.items, answer.proof) for index, answer in sorted(answers.items())]
        plaintexts = combine(setting.key, ciphertext_count(setting), partials)
        return unpack(plaintexts, setting.length, setting.plan.privacy.slot_bits, setting.key)
