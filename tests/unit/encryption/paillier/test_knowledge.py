from dataclasses import replace

import pytest

from hushfleet.encryption.paillier.knowledge import KnowledgeProof, Statement, prove, verify, verify_batch
from hushfleet.encryption.paillier.public import encrypt, sum_ciphertexts
from hushfleet.encryption.paillier.transcript import batch_coefficients
from hushfleet.errors import PeerError, Refusal
from hushfleet.randomness import SeededRandomness, SystemRandomness
from tests.support.keys import load
from tests.support.paillier import Watched, context_of, knowledge_with_commitment, phe_decrypt
from tests.support.refusals import refused

TEST = load("insecure-512")
KEY = TEST.public
N, SQUARE = KEY.modulus, KEY.modulus_squared
PLAINTEXTS = (5, 0, N - 1)
RESPONSE_BITS = KEY.bits // 2 + 265


def statement(device, plaintexts=PLAINTEXTS):
    randomness = SeededRandomness(device.encode())
    encryption = encrypt(KEY, plaintexts, randomness)
    proof = prove(KEY, encryption, plaintexts, context_of(device), randomness)
    return Statement(encryption.ciphertexts, context_of(device), proof)


HONEST = [statement(f"pi-{number}") for number in range(8)]
GOOD = HONEST[0]


def verify_one(checked):
    verify(KEY, checked.ciphertexts, checked.context, checked.proof)


def refused_singly_and_in_batch(bad):
    with refused(Refusal.KNOWLEDGE_PROOF, PeerError):
        verify_one(bad)
    assert verify_batch(KEY, [bad], SystemRandomness()) == (0,)
    assert verify_batch(KEY, [*HONEST[:2], bad, *HONEST[3:]], SystemRandomness()) == (2,)


@pytest.mark.parametrize("name", ["insecure-512-f2", "test-2048", "test-3072"])
def test_honest_proofs_hold(name):
    key, randomness = load(name).public, SystemRandomness()
    plaintexts = [randomness.below(key.modulus) for _ in range(2)]
    encryption = encrypt(key, plaintexts, randomness)
    proof = prove(key, encryption, plaintexts, context_of("pi"), randomness)
    verify(key, encryption.ciphertexts, context_of("pi"), proof)
    assert verify_batch(key, [Statement(encryption.ciphertexts, context_of("pi"), proof)] * 2, randomness) == ()


def test_honest_batches_hold():
    for count in (0, 1, 2, 8):
        assert verify_batch(KEY, HONEST[:count], SystemRandomness()) == ()


def test_statements_of_different_lengths_share_a_batch():
    assert verify_batch(KEY, [GOOD, statement("short", (1,)), statement("long", (1,) * 12)], SystemRandomness()) == ()


def test_masks_are_fresh_and_long_enough():
    randomness = Watched()
    prove(KEY, encrypt(KEY, (1,), SeededRandomness(b"")), (1,), context_of("pi"), randomness)
    *for_u, for_w = randomness.bits_asked
    assert set(for_u) == {KEY.bits}, "u is drawn below N by rejection"
    assert for_w == KEY.bits // 2 + 264


def test_the_relation_with_plain_arithmetic():
    proof = knowledge_with_commitment(KEY, *opened(), context_of("pi"), factor=1)
    verify(KEY, opened()[0], context_of("pi"), proof)


def opened():
    encryption = encrypt(KEY, PLAINTEXTS, SeededRandomness(b"opened"))
    return encryption.ciphertexts, PLAINTEXTS, encryption.openings


TAMPERED = {
    "A multiplied": replace(GOOD, proof=replace(GOOD.proof, commitment=GOOD.proof.commitment * 2 % SQUARE)),
    "A negated after hashing": replace(GOOD, proof=replace(GOOD.proof, commitment=SQUARE - GOOD.proof.commitment)),
    "A zero": replace(GOOD, proof=replace(GOOD.proof, commitment=0)),
    "A one": replace(GOOD, proof=replace(GOOD.proof, commitment=1)),
    "A not a unit": replace(GOOD, proof=replace(GOOD.proof, commitment=TEST.p)),
    "A not reduced": replace(GOOD, proof=replace(GOOD.proof, commitment=GOOD.proof.commitment + SQUARE)),
    "z_m off by one": replace(GOOD, proof=replace(GOOD.proof, z_m=(GOOD.proof.z_m + 1) % N)),
    "z_m not reduced": replace(GOOD, proof=replace(GOOD.proof, z_m=GOOD.proof.z_m + N)),
    "z_r off by one": replace(GOOD, proof=replace(GOOD.proof, z_r=GOOD.proof.z_r + 1)),
    "z_r zero": replace(GOOD, proof=replace(GOOD.proof, z_r=0)),
    "z_r past its bound by the order": replace(GOOD, proof=replace(GOOD.proof, z_r=GOOD.proof.z_r + 2 * N * (TEST.p - 1) * (TEST.q - 1))),
    "another context": replace(GOOD, context=context_of("mallory")),
    "another's proof": replace(GOOD, proof=HONEST[1].proof),
    "another's ciphertexts": replace(GOOD, ciphertexts=HONEST[1].ciphertexts),
    "one ciphertext of another": replace(GOOD, ciphertexts=(*GOOD.ciphertexts[:2], HONEST[1].ciphertexts[2])),
    "ciphertexts in another order": replace(GOOD, ciphertexts=GOOD.ciphertexts[::-1]),
    "a ciphertext missing": replace(GOOD, ciphertexts=GOOD.ciphertexts[:2]),
    "a ciphertext added": replace(GOOD, ciphertexts=(*GOOD.ciphertexts, HONEST[1].ciphertexts[0])),
    "a plaintext shifted": replace(GOOD, ciphertexts=(GOOD.ciphertexts[0] * (1 + N) % SQUARE, *GOOD.ciphertexts[1:])),
    "a ciphertext negated": replace(GOOD, ciphertexts=(SQUARE - GOOD.ciphertexts[0], *GOOD.ciphertexts[1:])),
    "a ciphertext not a unit": replace(GOOD, ciphertexts=(TEST.q, *GOOD.ciphertexts[1:])),
    "a ciphertext not reduced": replace(GOOD, ciphertexts=(GOOD.ciphertexts[0] + SQUARE, *GOOD.ciphertexts[1:])),
    "a ciphertext one": replace(GOOD, ciphertexts=(1, *GOOD.ciphertexts[1:])),
    "no ciphertext": replace(GOOD, ciphertexts=()),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_every_tamper_is_refused_singly_and_in_batch(name):
    refused_singly_and_in_batch(TAMPERED[name])


def test_the_control_of_the_tampers_holds():
    verify_one(GOOD)


def test_a_response_one_past_its_bound_is_refused_and_the_bound_itself_is_only_a_bound():
    # 2^bound - 1 passes the range check and fails the relation; 2^bound fails the range even if the relation held.
    for z_r in ((1 << RESPONSE_BITS) - 1, 1 << RESPONSE_BITS):
        refused_singly_and_in_batch(replace(GOOD, proof=replace(GOOD.proof, z_r=z_r)))


def repeated(count):
    """A proof that satisfies the relation over `count` times the same ciphertext."""
    opening, ciphertext = 3, (1 + 9 * N) * pow(KEY.h_s, 3, SQUARE) % SQUARE
    proof = knowledge_with_commitment(KEY, [ciphertext] * count, [9] * count, [opening] * count, context_of("many"), factor=1)
    return Statement((ciphertext,) * count, context_of("many"), proof)


def test_a_proof_covers_at_least_one_and_at_most_4096_ciphertexts():
    for count in (1, 4096):
        verify_one(repeated(count))
    for count in (0, 4097):
        refused_singly_and_in_batch(repeated(count))


@pytest.mark.parametrize("commitment", [1, 1 + SQUARE])
def test_a_commitment_that_fits_the_relation_but_not_the_group_is_refused(commitment):
    # u = w = 0: the relation holds, and so it does for an A that is not reduced.
    ciphertexts, plaintexts, openings = opened()
    rho = batch_coefficients(context_of("pi"), ciphertexts, (commitment,), KEY.ciphertext_bytes)
    z_m = sum(r * m for r, m in zip(rho, plaintexts, strict=True)) % N
    proof = KnowledgeProof(commitment, z_m, sum(r * o for r, o in zip(rho, openings, strict=True)))
    refused_singly_and_in_batch(Statement(ciphertexts, context_of("pi"), proof))


def test_sign_variants_are_accepted_singly_and_in_batch_alike():
    ciphertexts, plaintexts, openings = opened()
    negated = (SQUARE - ciphertexts[0], *ciphertexts[1:])
    for group, factor in ((ciphertexts, SQUARE - 1), (negated, 1), (negated, SQUARE - 1)):
        proof = knowledge_with_commitment(KEY, group, plaintexts, openings, context_of("sign"), factor=factor)
        variant = Statement(group, context_of("sign"), proof)
        verify_one(variant)
        assert verify_batch(KEY, [variant], SystemRandomness()) == ()
        assert verify_batch(KEY, [*HONEST, variant], SystemRandomness()) == ()


def test_other_factors_than_a_sign_are_not_accepted():
    for factor in (2, 1 + N, SQUARE - 2):
        proof = knowledge_with_commitment(KEY, *opened(), context_of("factor"), factor=factor)
        refused_singly_and_in_batch(Statement(opened()[0], context_of("factor"), proof))


def shifted_copy(victim):
    """The victim's plaintext, 20 bits up, re-randomised: what a colluding device would submit."""
    shift = pow(victim, 1 << 20, SQUARE)
    return sum_ciphertexts(KEY, [(shift,), encrypt(KEY, (0,), SeededRandomness(b"mallory")).ciphertexts])


def test_a_shifted_copy_of_another_devices_ciphertext_needs_a_proof_of_its_own():
    victim = statement("victim", (77,))
    copy = shifted_copy(victim.ciphertexts[0])
    assert phe_decrypt(TEST, copy) == (77 << 20,), "the copy does carry the victim's value: malleability is real"
    for context in (victim.context, context_of("mallory")):
        refused_singly_and_in_batch(Statement(copy, context, victim.proof))


def test_a_plain_copy_under_another_device_is_refused():
    victim = statement("victim", (77,))
    refused_singly_and_in_batch(replace(victim, context=context_of("mallory")))


def test_a_proof_scaled_along_with_the_ciphertext_is_refused():
    # c^k with A^k, k z_m, k z_r satisfies the relation for fixed coefficients; hashing A and c into them forbids it.
    victim, k = statement("victim", (77,)), 2
    proof = KnowledgeProof(pow(victim.proof.commitment, k, SQUARE), k * victim.proof.z_m % N, k * victim.proof.z_r)
    refused_singly_and_in_batch(Statement((pow(victim.ciphertexts[0], k, SQUARE),), victim.context, proof))


@pytest.mark.parametrize("culprits", [(0,), (7,), (3, 4), (0, 2, 5, 7), tuple(range(8))])
def test_bisection_names_exactly_the_culprits(culprits):
    bad = list(TAMPERED.values())
    batch = [bad[position] if position in culprits else honest for position, honest in enumerate(HONEST)]
    assert verify_batch(KEY, batch, SystemRandomness()) == culprits


def test_errors_that_cancel_without_weights_are_still_found():
    def off_by(position, amount):
        proof = HONEST[position].proof
        return replace(HONEST[position], proof=replace(proof, z_m=(proof.z_m + amount) % N))

    assert verify_batch(KEY, [off_by(0, 1), off_by(1, -1), *HONEST[2:]], SystemRandomness()) == (0, 1)


def test_every_check_draws_fresh_weights():
    randomness = Watched()
    verify_batch(KEY, HONEST[:4], randomness)
    assert randomness.bits_asked == [128] * 4
    randomness.bits_asked.clear()
    verify_batch(KEY, [*HONEST[:3], TAMPERED["another context"]], randomness)
    assert randomness.bits_asked == [128] * (4 + 2 + 2)


def test_proofs_survive_their_bytes_at_fixed_width():
    data = GOOD.proof.to_bytes(KEY)
    assert len(data) == KEY.ciphertext_bytes + KEY.modulus_bytes + (RESPONSE_BITS + 7) // 8
    assert KnowledgeProof.from_bytes(KEY, data) == GOOD.proof
    for wrong in (b"", data[:-1], data + b"\0"):
        with refused(Refusal.KNOWLEDGE_PROOF, PeerError):
            KnowledgeProof.from_bytes(KEY, wrong)


def test_every_flipped_bit_of_a_proof_is_refused():
    data = GOOD.proof.to_bytes(KEY)
    for position in range(0, 8 * len(data), 61):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        with refused(Refusal.KNOWLEDGE_PROOF, PeerError):
            verify(KEY, GOOD.ciphertexts, GOOD.context, KnowledgeProof.from_bytes(KEY, bytes(flipped)))


def test_negative_numbers_are_no_proof():
    for numbers in ((-2, 0, 0), (2, -1, 0), (2, 0, -1)):
        with refused(Refusal.KNOWLEDGE_PROOF, PeerError):
            KnowledgeProof(*numbers)


def test_a_prover_that_does_not_know_its_plaintext_fails():
    encryption = encrypt(KEY, (5,), SeededRandomness(b"liar"))
    proof = prove(KEY, encryption, (6,), context_of("liar"), SeededRandomness(b"liar"))
    refused_singly_and_in_batch(Statement(encryption.ciphertexts, context_of("liar"), proof))
