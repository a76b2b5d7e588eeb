"""The checks that a member, the orchestrator and an auditor share: ciphertexts and proofs of a cohort, and their sum."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hushfleet.encryption.paillier.knowledge import KnowledgeProof, Statement, verify_batch
from hushfleet.encryption.paillier.public import ciphertexts_from_bytes, sum_ciphertexts
from hushfleet.errors import FaultyDevice, PeerError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import RoundTerms, VerifiedBody
from hushfleet.schemes.paillier.profile import ciphertext_count, key_of, knowledge_context
from hushfleet.wire import NO_MASKED_VECTOR, Body


def statement(terms: RoundTerms, body: Body) -> Statement:
    """The ciphertexts and proof of one body, at exact width and count. Raises `FaultyDevice`."""
    try:
        return _statement(terms, body)
    except PeerError as error:
        raise FaultyDevice(error.reason, body.device_id, error.message) from error


def _statement(terms: RoundTerms, body: Body) -> Statement:
    if body.masked_hash != NO_MASKED_VECTOR:
        raise PeerError(Refusal.MASKED_VECTOR, "scheme paillier carries no masked vector")
    key, count = key_of(terms), ciphertext_count(terms)
    if len(body.items) != count or any(len(item) != key.ciphertext_bytes for item in body.items):
        raise PeerError(Refusal.CIPHERTEXT_COUNT, f"not {count} ciphertexts of {key.ciphertext_bytes} bytes, as the plan gives")
    ciphertexts = ciphertexts_from_bytes(key, b"".join(body.items), count)
    proof = KnowledgeProof.from_bytes(key, body.proof)
    return Statement(ciphertexts, knowledge_context(terms, body.device_id, body.masked_hash), proof)


def find_faulty(terms: RoundTerms, bodies: Sequence[VerifiedBody], randomness: Randomness) -> dict[int, FaultyDevice]:
    """Position -> reason, for every body that must not be summed; all proofs are verified in one batch."""
    faulty: dict[int, FaultyDevice] = {}
    statements: dict[int, Statement] = {}
    for position, verified in enumerate(bodies):
        try:
            statements[position] = statement(terms, verified.body)
        except FaultyDevice as error:
            faulty[position] = error
    positions = list(statements)
    for bad in verify_batch(key_of(terms), list(statements.values()), randomness):
        device_id = bodies[positions[bad]].body.device_id
        faulty[positions[bad]] = FaultyDevice(Refusal.KNOWLEDGE_PROOF, device_id, "does not prove that it knows what it encrypted")
    return faulty


@dataclass(frozen=True, slots=True)
class EncryptedSum:
    """L ciphertexts of the sum of a checked cohort. Made by `cohort_sum` alone: members answer for nothing else."""

    ciphertexts: tuple[int, ...]


def cohort_sum(terms: RoundTerms, bodies: Iterable[Body]) -> EncryptedSum:
    """The sum of bodies that were checked."""
    return EncryptedSum(sum_ciphertexts(key_of(terms), (numbers(body) for body in bodies)))


def numbers(body: Body) -> tuple[int, ...]:
    """The ciphertexts of a body that was checked."""
    return tuple(int.from_bytes(item, "big") for item in body.items)
