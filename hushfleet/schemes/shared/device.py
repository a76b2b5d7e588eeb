"""The device's side: mask the vector under a fresh key, share the key to the committee."""

from hushfleet.encryption.ring_mask.device import draw_key, mask
from hushfleet.encryption.sealing import SealingPublicKey, seal
from hushfleet.labels import Label, sha256
from hushfleet.privacy import EncodedVector
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import EncryptedUpdate, RoundTerms
from hushfleet.schemes.shared.profile import PROFILE, parameters_of, share_context
from hushfleet.sharing.vectors import deal


class SharedDevice:
    """Satisfies `DeviceScheme`."""

    profile = PROFILE

    def encrypt(self, terms: RoundTerms, device_id: str, encoded: EncodedVector, randomness: Randomness) -> EncryptedUpdate:
        """The masked vector, and a sealed share of its key for each member whose hash stands in the body."""
        key = draw_key(randomness)
        masked = mask(encoded.values, key, terms.plan_hash, parameters_of(terms), randomness)
        committee = terms.roster.roster.committee
        shares = deal(key, threshold=terms.roster.threshold, members=len(committee), randomness=randomness)
        sealed = []
        for member, share in zip(committee, shares, strict=True):
            recipient = SealingPublicKey(terms.roster.device(member).sealing_key)
            sealed.append(seal(recipient, Label.SEAL_SHARE, share_context(terms, device_id, member), share.to_bytes()))
        return EncryptedUpdate(tuple(map(sha256, sealed)), b"", masked, tuple(sealed))
