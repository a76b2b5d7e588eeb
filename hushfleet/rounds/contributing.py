"""From a local update to the sealed bytes that leave a device: clip, encode, encrypt, sign, seal (PROTOCOL 5.2)."""

from hushfleet.codec import encode
from hushfleet.encryption.sealing import SealingPublicKey, seal
from hushfleet.errors import LocalError
from hushfleet.labels import Label
from hushfleet.privacy import EncodedVector, clip, encode_vector, encode_zero
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import RoundTerms
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.signing import SigningKey
from hushfleet.training import LocalUpdate
from hushfleet.wire import Body, Contribution, contribution_seal_context, masked_vector_hash


def protect(terms: RoundTerms, update: LocalUpdate | None, reason: str, randomness: Randomness) -> tuple[EncodedVector, str]:
    """The encoded update with its noise, and an empty text; or the zero vector with the same noise, and the reason for it.

    The vector is zero where there is no `update` (`reason` says why) or where it cannot be clipped, for example for a NaN: a
    device that has accepted a plan contributes whatever its data.
    """
    plan, encoding = terms.plan, terms.encoding
    if update is not None:
        try:
            return encode_vector(clip(update.vector, plan.clip_norm), encoding, terms.plan_hash, randomness), ""
        except LocalError as error:
            reason = str(error)
    return encode_zero(plan.dimension, encoding, terms.plan_hash, randomness), reason or "there is no update"


def contribution_of(
    terms: RoundTerms, device_id: str, signing_key: SigningKey, encoded: EncodedVector, randomness: Randomness
) -> Contribution:
    """The signed body with what travels beside it. Fresh randomness every time: two of them must never both leave."""
    update = DEVICE_SCHEMES[terms.plan.scheme].encrypt(terms, device_id, encoded, randomness)
    body = Body(terms.plan_hash, device_id, masked_vector_hash(update.masked_vector), update.items, update.proof)
    return Contribution(signing_key.sign(Label.BODY, encode(body)), update.masked_vector, update.sealed_shares)


def sealed_contribution(terms: RoundTerms, device_id: str, contribution: Contribution) -> bytes:
    """The bytes that travel: readable by the orchestrator alone, and only as this device's contribution to this round."""
    context = contribution_seal_context(terms.plan.key_id, terms.plan.round, device_id)
    recipient = SealingPublicKey(terms.roster.roster.orchestrator_sealing_key)
    return seal(recipient, Label.SEAL_CONTRIBUTION, context, encode(contribution))
