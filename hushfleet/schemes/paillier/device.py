"""The device's side: pack, encrypt, prove."""

from hushfleet.encryption.paillier.knowledge import prove
from hushfleet.encryption.paillier.packing import pack
from hushfleet.encryption.paillier.public import encrypt
from hushfleet.labels import unsigned
from hushfleet.privacy import EncodedVector
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import EncryptedUpdate, RoundTerms
from hushfleet.schemes.paillier.profile import PROFILE, key_of, knowledge_context
from hushfleet.wire import NO_MASKED_VECTOR


class PaillierDevice:
    """Satisfies `DeviceScheme`."""

    profile = PROFILE

    def encrypt(self, terms: RoundTerms, device_id: str, encoded: EncodedVector, randomness: Randomness) -> EncryptedUpdate:
        """Ciphertexts of the packed vector and one proof of knowledge, bound to plan and device."""
        key = key_of(terms)
        plaintexts = pack(encoded.values, terms.plan.privacy.slot_bits, key)
        encryption = encrypt(key, plaintexts, randomness)
        proof = prove(key, encryption, plaintexts, knowledge_context(terms, device_id, NO_MASKED_VECTOR), randomness)
        items = tuple(unsigned(ciphertext, key.ciphertext_bytes) for ciphertext in encryption.ciphertexts)
        return EncryptedUpdate(items, proof.to_bytes(key))
