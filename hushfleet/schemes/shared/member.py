"""The committee member's side: open the cohort's shares, and answer with their sum."""

from collections.abc import Sequence
from concurrent.futures import Executor

from hushfleet.documents import VerifiedRoster
from hushfleet.encryption.ring_mask.parameters import DEGREE
from hushfleet.encryption.sealing import unseal
from hushfleet.errors import FaultyDevice, PeerError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import EncryptedAnswer, MemberKeys, RoundTerms, VerifiedBody
from hushfleet.schemes.shared.bodies import check_body
from hushfleet.schemes.shared.profile import PROFILE, share_context
from hushfleet.sharing.shares import VectorShare, add


class SharedMember:
    """Satisfies `MemberScheme`."""

    profile = PROFILE
    takes_shares = True

    def check_keys(self, roster: VerifiedRoster, keys: MemberKeys, *, insecure_keys: bool) -> None:
        """Return: the sealing key alone opens shares."""

    def check(self, terms: RoundTerms, bodies: Sequence[VerifiedBody], randomness: Randomness, *, executor: Executor | None = None) -> None:
        """Raise `FaultyDevice` naming the first contribution that must not be summed."""
        del executor, randomness  # a body is a list of hashes
        for verified in bodies:
            check_body(terms, verified)

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
        """The sum of this member's shares of the cohort's keys.

        Raises `PeerError(SHARE_MISMATCH)` for a share that is not the one in its body, so that the right one may still come, and
        `FaultyDevice` for one that is, and that its device made wrong.
        """
        del root, randomness, executor  # the answer is signed with its root, and adding is quick
        opened = [self._share(terms, keys, verified, sealed) for verified, sealed in zip(bodies, shares, strict=True)]
        return EncryptedAnswer((add(opened).to_bytes(),), b"")

    def _share(self, terms: RoundTerms, keys: MemberKeys, verified: VerifiedBody, sealed: bytes) -> VectorShare:
        device = verified.body.device_id
        if sha256(sealed) != verified.body.items[keys.index - 1]:
            raise PeerError(Refusal.SHARE_MISMATCH, f"the share of {device} is not the one in its body")
        try:
            member = terms.roster.roster.committee[keys.index - 1]
            plain = unseal(keys.sealing, Label.SEAL_SHARE, share_context(terms, device, member), sealed)
            return VectorShare.from_bytes(plain, index=keys.index, count=DEGREE)
        except PeerError as error:
            raise FaultyDevice(error.reason, device, f"dealt a bad share: {error.message}") from error
