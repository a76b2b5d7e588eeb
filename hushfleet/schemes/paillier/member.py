"""The committee member's side: check the cohort, form the sum, answer for it."""

from collections.abc import Sequence
from concurrent.futures import Executor

from hushfleet.documents import VerifiedRoster
from hushfleet.encryption.paillier.secret import answer, check_share
from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import EncryptedAnswer, MemberKeys, RoundTerms, VerifiedBody
from hushfleet.schemes.paillier.answers import to_wire
from hushfleet.schemes.paillier.cohort import cohort_sum, find_faulty
from hushfleet.schemes.paillier.profile import PROFILE, answer_context, committee_key, key_of


class PaillierMember:
    """Satisfies `MemberScheme`."""

    profile = PROFILE
    takes_shares = False

    def check_keys(self, roster: VerifiedRoster, keys: MemberKeys, *, insecure_keys: bool) -> None:
        """Return if the granted share is this member's share of the committee's key (PROTOCOL 3). Raises as `MemberScheme`."""
        check_share(committee_key(roster, insecure_keys=insecure_keys), _share(roster, keys, insecure_keys=insecure_keys))

    def check(self, terms: RoundTerms, bodies: Sequence[VerifiedBody], randomness: Randomness, *, executor: Executor | None = None) -> None:
        """Raise `FaultyDevice` naming the first contribution that must not be summed."""
        del executor  # one batch of proofs is one product of powers
        faulty = find_faulty(terms, bodies, randomness)
        if faulty:
            raise faulty[min(faulty)]

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
        """Partials of the sum and the proof that the share made them."""
        del shares  # the key share opens everything
        share = _share(terms.roster, keys, insecure_keys=terms.insecure_keys)
        total = cohort_sum(terms, (verified.body for verified in bodies))
        context = answer_context(terms, root, share.index)
        return to_wire(key_of(terms), answer(key_of(terms), share, total.ciphertexts, context, randomness, executor=executor))


def _share(roster: VerifiedRoster, keys: MemberKeys, *, insecure_keys: bool) -> KeyShare:
    if not keys.share:
        raise LocalError(
            Refusal.SHARE_MISSING, "this member has no key share yet", next_step="Join with the bundle that the owner made at the deal."
        )
    share = KeyShare.from_bytes(committee_key(roster, insecure_keys=insecure_keys), keys.share.data)
    if share.index != keys.index:
        raise PeerError(Refusal.SHARE_FOR_ANOTHER, f"a share for index {share.index}, this member has {keys.index}")
    return share
