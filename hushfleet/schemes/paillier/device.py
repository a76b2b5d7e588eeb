"""The device's side: pack, encrypt, prove."""

from hushfleet.encryption.paillier.contexts import masked_vector_hash
from hushfleet.encryption.paillier.knowledge import prove
from hushfleet.encryption.paillier.packing import pack
from hushfleet.encryption.paillier.public import encrypt
from hushfleet.labels import unsigned
from hushfleet.privacy import EncodedVector
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import EncryptedUpdate, RoundTerms


class PaillierDevice:
    """Satisfies `DeviceScheme`."""

    def encrypt(self, setting: RoundTerms, device_id: str, encoded: EncodedVector, randomness: Randomness) -> EncryptedUpdate:
        """Ciphertexts of the packed vector and one proof of knowledge, bound to plan and device."""
        key = setting.key
        plaintexts = pack(encoded.values, setting.plan.privacy.slot_bits, key)
        encryption = encrypt(key, plaintexts, randomness)
        masked_hash = masked_vector_hash(b"")
        proof = prove(key, encryption, plaintexts, setting.proof_context(device_id, masked_hash), randomness)
        items = tuple(unsigned(ciphertext, key.ciphertext_bytes) for ciphertext in encryption.ciphertexts)
        return EncryptedUpdate(masked_hash, items, proof.to_bytes(key))
