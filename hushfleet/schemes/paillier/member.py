"""The committee member's side: check the cohort, form the sum, answer for it."""

from collections.abc import Sequence

from hushfleet.encryption.paillier.secret import answer
from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import RoundTerms, VerifiedBody
from hushfleet.schemes.paillier.answers import to_wire
from hushfleet.schemes.paillier.cohort import cohort_sum, find_faulty


class PaillierMember:
    """Satisfies `MemberScheme`."""

    def check(self, setting: RoundTerms, bodies: Sequence[VerifiedBody], randomness: Randomness) -> None:
        """Raise `FaultyDevice` naming the first contribution that must not be summed."""
        faulty = find_faulty(setting, bodies, randomness)
        if faulty:
            raise faulty[min(faulty)]

    def answer(
        self, setting: RoundTerms, share: KeyShare, root: bytes, bodies: Sequence[VerifiedBody], randomness: Randomness
    ) -> tuple[tuple[bytes, ...], bytes]:
        """(items, proof): partials of the sum and the proof that the share made them."""
        total = cohort_sum(setting, (verified.body for verified in bodies))
        partial = answer(setting.key, share, total.ciphertexts, setting.partial_context(root, share.index), randomness)
        return to_wire(setting.key, partial)
