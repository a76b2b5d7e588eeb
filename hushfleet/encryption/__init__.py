"""Encryption layers: sealed boxes here, threshold Paillier in `paillier/` with a room of its own for each secret.

May import sharing and the ground floor. Importing this package loads no secret side of Paillier.
"""

from hushfleet.encryption.sealing import SEAL_BYTES, SealingKey, SealingPublicKey, seal, sealed_size, unseal

__all__ = ["SEAL_BYTES", "SealingKey", "SealingPublicKey", "seal", "sealed_size", "unseal"]
