"""The committee member's side of each scheme."""

from collections.abc import Sequence
from typing import Protocol

from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import RoundTerms, VerifiedBody
from hushfleet.schemes.paillier.member import PaillierMember


class MemberScheme(Protocol):
    """Checks what the cohort carries and answers for its sum."""

    def check(self, setting: RoundTerms, bodies: Sequence[VerifiedBody], randomness: Randomness) -> None:
        """Raise `FaultyDevice` naming the first contribution that must not be summed."""

    def answer(
        self, setting: RoundTerms, share: KeyShare, root: bytes, bodies: Sequence[VerifiedBody], randomness: Randomness
    ) -> tuple[tuple[bytes, ...], bytes]:
        """(items, proof) for the sum of all `bodies`, which the member forms itself."""


MEMBER_SCHEMES: dict[str, MemberScheme] = {"paillier": PaillierMember()}
