"""What a member, the orchestrator and an auditor check alike: the ciphertexts and proofs of a cohort, and their sum."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hushfleet.encryption.paillier.contexts import masked_vector_hash
from hushfleet.encryption.paillier.knowledge import KnowledgeProof, Statement, verify_batch
from hushfleet.encryption.paillier.packing import plaintext_count
from hushfleet.encryption.paillier.public import ciphertexts_from_bytes, sum_ciphertexts
from hushfleet.errors import FaultyDevice, PeerError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import RoundTerms, VerifiedBody
from hushfleet.wire import Body

NO_MASKED_VECTOR = masked_vector_hash(b"")


def ciphertext_count(setting: RoundTerms) -> int:
    """L, from the plan and the key alone."""
    return plaintext_count(setting.length, setting.plan.privacy.slot_bits, setting.key.bits)


def statement(setting: RoundTerms, body: Body) -> Statement:
    """The ciphertexts and proof of one body, at exact width and count. Raises `FaultyDevice`."""
    try:
        return _statement(setting, body)
    except PeerError as error:
        raise FaultyDevice(error.reason, body.device_id, error.message) from error


def _statement(setting: RoundTerms, body: Body) -> Statement:
    if body.masked_hash != NO_MASKED_VECTOR:
        raise PeerError(Refusal.MASKED_VECTOR, "scheme paillier carries no masked vector")
    count = ciphertext_count(setting)
    if len(body.items) != count or any(len(item) != setting.key.ciphertext_bytes for item in body.items):
        raise PeerError(Refusal.CIPHERTEXT_COUNT, f"not {count} ciphertexts of {setting.key.ciphertext_bytes} bytes, as the plan gives")
    ciphertexts = ciphertexts_from_bytes(setting.key, b"".join(body.items), count)
    proof = KnowledgeProof.from_bytes(setting.key, body.proof)
    return Statement(ciphertexts, setting.proof_context(body.device_id, body.masked_hash), proof)


def find_faulty(setting: RoundTerms, bodies: Sequence[VerifiedBody], randomness: Randomness) -> dict[int, FaultyDevice]:
    """Position -> why, for every body that must not be summed; all proofs are verified in one batch."""
    faulty: dict[int, FaultyDevice] = {}
    statements: dict[int, Statement] = {}
    for position, verified in enumerate(bodies):
        try:
            statements[position] = statement(setting, verified.body)
        except FaultyDevice as error:
            faulty[position] = error
    positions = list(statements)
    for bad in verify_batch(setting.key, list(statements.values()), randomness):
        device_id = bodies[positions[bad]].body.device_id
        faulty[positions[bad]] = FaultyDevice(Refusal.KNOWLEDGE_PROOF, device_id, "does not prove that it knows what it encrypted")
    return faulty


@dataclass(frozen=True, slots=True)
class EncryptedSum:
    """L ciphertexts of the sum of a checked cohort. Made by `cohort_sum` alone: members answer for nothing else."""

    ciphertexts: tuple[int, ...]


def cohort_sum(setting: RoundTerms, bodies: Iterable[Body]) -> EncryptedSum:
    """The sum of bodies that were checked."""
    return EncryptedSum(sum_ciphertexts(setting.key, (_numbers(body) for body in bodies)))


def _numbers(body: Body) -> tuple[int, ...]:
    return tuple(int.from_bytes(item, "big") for item in body.items)
