"""What several Paillier tests need: an oracle that knows the factors, provers that cheat, a source that is watched."""

from collections.abc import Sequence

from phe.paillier import PaillierPrivateKey

from hushfleet.encryption.paillier.contexts import partial_context, proof_context
from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.encryption.paillier.knowledge import KnowledgeProof
from hushfleet.encryption.paillier.partials import Partial, PartialProof
from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.encryption.paillier.transcript import batch_coefficients, batched_partials, partial_challenge
from hushfleet.randomness import SeededRandomness
from hushfleet.wire import masked_vector_hash
from tests.support.keys import TestKey

PLAN = bytes(range(32))
ROOT = bytes(range(32, 64))
KEY_ID = bytes(range(64, 96))


class Watched(SeededRandomness):
    """Remembers the lengths asked for; `bits_given` replaces the answers to `bits` in order."""

    def __init__(self, seed: bytes = b"watched", bits_given: Sequence[int] = ()) -> None:
        super().__init__(seed)
        self.bits_asked: list[int] = []
        self._given = list(bits_given)

    def bits(self, count: int) -> int:
        self.bits_asked.append(count)
        return self._given.pop(0) if self._given else super().bits(count)


def phe_decrypt(test_key: TestKey, ciphertexts: Sequence[int]) -> tuple[int, ...]:
    """python-paillier's own decryption, which shares no code with ours."""
    private = PaillierPrivateKey(test_key.public.phe(), test_key.p, test_key.q)
    return tuple(int(private.raw_decrypt(ciphertext)) for ciphertext in ciphertexts)


def context_of(device: str) -> bytes:
    return proof_context(PLAN, device, masked_vector_hash(b""))


def context_for(index: int) -> bytes:
    return partial_context(KEY_ID, 7, PLAN, ROOT, index)


def knowledge_with_commitment(
    key: PublicKey, ciphertexts: Sequence[int], plaintexts: Sequence[int], openings: Sequence[int], context: bytes, *, factor: int
) -> KnowledgeProof:
    """A proof made as the protocol has it (PROTOCOL 3), except that A is multiplied by `factor` before it is hashed."""
    randomness, square = SeededRandomness(b"cheat"), key.modulus_squared
    u, w = randomness.below(key.modulus), randomness.bits(key.bits // 2 + 264)
    commitment = (1 + u * key.modulus) * pow(key.h_s, w, square) * factor % square
    rho = batch_coefficients(context, ciphertexts, (commitment,), key.ciphertext_bytes)
    z_m = (u + sum(r * m for r, m in zip(rho, plaintexts, strict=True))) % key.modulus
    return KnowledgeProof(commitment, z_m, w + sum(r * o for r, o in zip(rho, openings, strict=True)))


def partial_over(
    key: PublicKey, share: KeyShare, ciphertexts: Sequence[int], values: Sequence[int], context: bytes, *, mask_bits: int
) -> Partial:
    """What the holder of `share` sends with a proof over any `values` and a mask of `mask_bits`."""
    n, w = key.modulus, SeededRandomness(b"mask").bits(mask_bits)
    C, D = batched_partials(key, context, ciphertexts, values)
    e = partial_challenge(key, context, share.index, (C, D), (pow(int(C), 4 * w, n), pow(key.v, w, n)))
    return Partial(share.index, tuple(values), PartialProof(e, w + e * key.delta * share.value))
