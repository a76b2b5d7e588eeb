import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from hushfleet.encryption.paillier import arithmetic
from hushfleet.encryption.paillier import partials as partials_module
from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.encryption.paillier.partials import Partial, PartialProof, combine, mask_bits, open_one, response_bits, verify_partial
from hushfleet.encryption.paillier.public import encrypt, sum_ciphertexts
from hushfleet.encryption.paillier.secret import answer, check_share
from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.errors import FaultyMember, LocalError, PeerError, Refusal
from hushfleet.randomness import SeededRandomness, SystemRandomness
from hushfleet.sharing.interpolation import integer_coefficients
from tests.support.keys import load
from tests.support.paillier import Watched, context_for, partial_over, phe_decrypt
from tests.support.refusals import refused

TEST = load("insecure-512")
KEY = TEST.public
N, SQUARE = KEY.modulus, KEY.modulus_squared
PLAINTEXTS = (5, 0, N - 1)
CIPHERTEXTS = encrypt(KEY, PLAINTEXTS, SeededRandomness(b"partials")).ciphertexts


def answers(test, ciphertexts):
    return [answer(test.public, share, ciphertexts, context_for(share.index), SystemRandomness()) for share in test.shares]


ANSWERS = answers(TEST, CIPHERTEXTS)
GOOD = ANSWERS[1]


def verify_good(partial):
    verify_partial(KEY, CIPHERTEXTS, partial, context_for(GOOD.index))


@pytest.mark.parametrize("name", ["insecure-512", "insecure-512-f2"])
def test_every_quorum_opens_what_phe_opens(name):
    test = load(name)
    one, other = (encrypt(test.public, (n, n + 1), SystemRandomness()).ciphertexts for n in (10, 20))
    total = sum_ciphertexts(test.public, [one, other])
    given = answers(test, total)
    for partial in given:
        verify_partial(test.public, total, partial, context_for(partial.index))
    for quorum in itertools.combinations(given, test.public.threshold):
        assert combine(test.public, total, quorum) == phe_decrypt(test, total) == (30, 32)


def test_a_quorum_at_3072_bit():
    test = load("test-3072")
    ciphertexts = encrypt(test.public, (12345,), SystemRandomness()).ciphertexts
    given = [answer(test.public, share, ciphertexts, context_for(share.index), SystemRandomness()) for share in test.shares[1:]]
    verify_partial(test.public, ciphertexts, given[0], context_for(2))
    assert combine(test.public, ciphertexts, given) == (12345,)


def test_more_than_a_quorum_combines_in_any_order():
    assert combine(KEY, CIPHERTEXTS, ANSWERS) == combine(KEY, CIPHERTEXTS, ANSWERS[::-1]) == PLAINTEXTS


def test_threads_give_the_same_answer():
    with ThreadPoolExecutor(2) as executor:
        threaded = answer(KEY, TEST.shares[1], CIPHERTEXTS, context_for(2), SeededRandomness(b"x"), executor=executor)
    assert threaded == answer(KEY, TEST.shares[1], CIPHERTEXTS, context_for(2), SeededRandomness(b"x"))


def test_a_member_refuses_what_is_no_ciphertext_or_not_its_committee():
    for bad in (0, 1, N, SQUARE):
        with refused(Refusal.CIPHERTEXT_INVALID, PeerError):
            answer(KEY, TEST.shares[0], (*CIPHERTEXTS, bad), context_for(1), SystemRandomness())
    with refused(Refusal.SHARE_MISMATCH, PeerError):
        answer(KEY, KeyShare(5, 3), CIPHERTEXTS, context_for(5), SystemRandomness())


def test_a_share_is_used_by_the_quiet_power_only(monkeypatch):
    monkeypatch.setattr(arithmetic.gmpy2, "powmod", None)
    assert answer(KEY, TEST.shares[1], CIPHERTEXTS, context_for(2), SystemRandomness()).values == GOOD.values
    check_share(KEY, TEST.shares[1])


# The mask.


def leaked(partial, key):
    return partial.proof.response // (partial.proof.challenge * key.delta)


def test_the_mask_hides_the_share_statistically():
    randomness = Watched()
    partial = answer(KEY, TEST.shares[1], CIPHERTEXTS, context_for(2), randomness)
    assert randomness.bits_asked == [KEY.bits + 5 + 256], "4! = 24 has 5 bits"
    assert abs(leaked(partial, KEY) - TEST.shares[1].value) > 1 << (KEY.bits + 100)


@pytest.mark.parametrize(("name", "delta_bits"), [("test-2048", 5), ("insecure-512-f2", 13)])
def test_the_mask_grows_with_modulus_and_committee(name, delta_bits):
    key = load(name).public
    assert mask_bits(key) == key.bits + delta_bits + 256
    assert response_bits(key) == key.bits + delta_bits + 257


def test_a_mask_that_forgets_the_modulus_gives_the_share_away():
    # A public library takes the threshold for the length of N here.
    share = TEST.shares[1]
    short = partial_over(KEY, share, CIPHERTEXTS, GOOD.values, context_for(2), mask_bits=3 * KEY.threshold + 256)
    verify_good(short)
    assert abs(leaked(short, KEY) - share.value) <= 1 << 140
    assert leaked(short, KEY) >> 200 == share.value >> 200


# The statement.


def moved(values):
    """The first partial times a number."""
    return (values[0] * 7 % N, *values[1:])


def test_a_partial_that_was_moved_opens_nothing_and_its_proof_names_it():
    share = TEST.shares[1]
    bad = partial_over(KEY, share, CIPHERTEXTS, moved(GOOD.values), context_for(2), mask_bits=mask_bits(KEY))
    with refused(Refusal.COMBINE_RESIDUE, PeerError):
        combine(KEY, CIPHERTEXTS, [ANSWERS[0], bad, ANSWERS[2]])
    with refused(Refusal.PARTIAL_PROOF, FaultyMember):
        verify_good(bad)
    assert combine(KEY, CIPHERTEXTS, [ANSWERS[0], ANSWERS[2], ANSWERS[3]]) == PLAINTEXTS


def test_a_true_partial_with_a_false_proof_opens_the_sum():
    assert combine(KEY, CIPHERTEXTS, [ANSWERS[0], with_proof(challenge=5), ANSWERS[2]]) == PLAINTEXTS


def test_threads_open_the_same_plaintexts():
    with ThreadPoolExecutor(2) as executor:
        assert combine(KEY, CIPHERTEXTS, ANSWERS, executor=executor) == PLAINTEXTS


def test_another_share_is_refused_by_the_proof():
    wrong = TEST.shares[1].value + 1
    values = [pow(c, 2 * KEY.delta * wrong, N) for c in CIPHERTEXTS]
    with refused(Refusal.PARTIAL_PROOF, FaultyMember):
        verify_good(partial_over(KEY, KeyShare(2, wrong), CIPHERTEXTS, values, context_for(2), mask_bits=mask_bits(KEY)))


def test_a_forger_cannot_bring_its_own_v():
    # A public library reads v and v_i from the proof, so that anybody proves anything.
    invented, v = 123456789, pow(987654321, 2, N)
    v_i = pow(v, KEY.delta * invented, N)
    own = PublicKey(N, KEY.h_s, v, (KEY.verification[0], v_i, *KEY.verification[2:]), insecure=True)
    values = [pow(c, 2 * KEY.delta * invented, N) for c in CIPHERTEXTS]
    forged = partial_over(own, KeyShare(2, invented), CIPHERTEXTS, values, context_for(2), mask_bits=mask_bits(KEY))
    verify_partial(own, CIPHERTEXTS, forged, context_for(2))
    with refused(Refusal.PARTIAL_PROOF, FaultyMember):
        verify_good(forged)
    assert set(PartialProof.__slots__) == {"challenge", "response"}


def test_a_v_of_lesser_order_would_let_a_wrong_share_verify():
    half = (TEST.p - 1) // 2
    v, wrong = pow(5, 2 * half, N), TEST.shares[1].value + (TEST.q - 1) // 2
    blind = PublicKey(N, KEY.h_s, v, tuple(pow(v, KEY.delta * share.value, N) for share in TEST.shares), insecure=True)
    check_share(blind, KeyShare(2, wrong))
    with refused(Refusal.SHARE_MISMATCH, PeerError):
        check_share(KEY, KeyShare(2, wrong))


def test_a_negated_partial_opens_the_same_sum():
    negated = (N - GOOD.values[0], *GOOD.values[1:])
    variant = partial_over(KEY, TEST.shares[1], CIPHERTEXTS, negated, context_for(2), mask_bits=mask_bits(KEY))
    verify_good(variant)
    assert combine(KEY, CIPHERTEXTS, [ANSWERS[0], variant, ANSWERS[2]]) == PLAINTEXTS


def test_exponents_are_twice_the_lagrange_coefficients(monkeypatch):
    used = {}
    original = partials_module.product_of_powers

    def watched(bases, exponents, modulus):
        used.update(zip(bases, exponents, strict=True))
        return original(bases, exponents, modulus)

    monkeypatch.setattr(partials_module, "product_of_powers", watched)
    quorum = {partial.index: partial.values[0] for partial in ANSWERS[1:]}
    assert open_one(KEY, CIPHERTEXTS[0], quorum) == PLAINTEXTS[0]
    coefficients = integer_coefficients(tuple(quorum), KEY.members)
    assert used == {quorum[index]: 2 * abs(coefficient) for index, coefficient in coefficients.items()}


# Tampering.


def with_value(value):
    return replace(GOOD, values=(value, *GOOD.values[1:]))


@pytest.mark.parametrize("value", [0, -5, N, TEST.p, N + 2, SQUARE])
def test_partials_that_are_no_units_are_refused(value):
    with refused(Refusal.PARTIAL_INVALID, FaultyMember):
        verify_good(with_value(value))


@pytest.mark.parametrize(
    "partial",
    [replace(GOOD, index=5), replace(GOOD, values=GOOD.values[:2]), replace(GOOD, values=(*GOOD.values, GOOD.values[0]))],
    ids=["no such member", "too few", "too many"],
)
def test_partials_of_another_shape_are_refused(partial):
    with refused(Refusal.PARTIAL_INVALID, FaultyMember):
        verify_good(partial)


def with_proof(**fields: int):
    return replace(GOOD, proof=replace(GOOD.proof, **fields))


TAMPERED = {
    "another value": with_value(GOOD.values[0] * 2 % N),
    "a negated value": with_value(N - GOOD.values[0]),
    "a moved value": replace(GOOD, values=moved(GOOD.values)),
    "a value of one": with_value(1),
    "another order": replace(GOOD, values=GOOD.values[::-1]),
    "another member's index": replace(GOOD, index=3),
    "another member's answer": replace(ANSWERS[2], index=2),
    "another member's proof": replace(GOOD, proof=ANSWERS[2].proof),
    "another challenge": with_proof(challenge=GOOD.proof.challenge ^ 1),
    "challenge zero": with_proof(challenge=0),
    "another response": with_proof(response=GOOD.proof.response + 1),
    "response zero": with_proof(response=0),
    "a response past its bound": with_proof(response=GOOD.proof.response + (((TEST.p - 1) * (TEST.q - 1)) << 300)),
    "a response at its bound": with_proof(response=1 << response_bits(KEY)),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_every_tamper_is_refused_and_names_the_member(name):
    bad = TAMPERED[name]
    with refused(Refusal.PARTIAL_PROOF, FaultyMember):
        verify_good(bad)
    with pytest.raises(FaultyMember) as caught:
        verify_good(bad)
    assert caught.value.index == bad.index


def test_another_context_or_other_ciphertexts_are_refused():
    verify_good(GOOD)
    with refused(Refusal.PARTIAL_PROOF, FaultyMember):
        verify_partial(KEY, CIPHERTEXTS, GOOD, context_for(3))
    with refused(Refusal.PARTIAL_PROOF, FaultyMember):
        verify_partial(KEY, CIPHERTEXTS[::-1], GOOD, context_for(2))


# Combining.


def test_too_few_partials_are_refused():
    with refused(Refusal.COMBINE_TOO_FEW, LocalError):
        combine(KEY, CIPHERTEXTS, ANSWERS[:2])


def test_a_member_twice_or_another_count_is_refused():
    for given, total in (
        ([*ANSWERS[:3], ANSWERS[0]], CIPHERTEXTS),
        (ANSWERS, CIPHERTEXTS[:2]),
        ([*ANSWERS[:2], replace(ANSWERS[2], values=(5,))], CIPHERTEXTS),
    ):
        with refused(Refusal.PARTIAL_INVALID, PeerError):
            combine(KEY, total, given)


def test_partials_that_do_not_fit_together_are_refused():
    with refused(Refusal.COMBINE_RESIDUE, PeerError):
        combine(KEY, CIPHERTEXTS, [ANSWERS[0], TAMPERED["another value"], ANSWERS[2]])


# Bytes.


def test_partials_survive_their_bytes_at_fixed_width():
    data = GOOD.to_bytes(KEY)
    assert len(data) == 2 + 16 + (response_bits(KEY) + 7) // 8 + 3 * KEY.modulus_bytes
    assert Partial.from_bytes(KEY, data, 3) == GOOD
    for wrong, count in ((b"", 3), (data[:-1], 3), (data + b"\0", 3), (data, 2), (data, 4)):
        with refused(Refusal.PARTIAL_INVALID, PeerError):
            Partial.from_bytes(KEY, wrong, count)


def test_every_flipped_bit_of_an_answer_is_refused():
    data = GOOD.to_bytes(KEY)
    for position in range(0, 8 * len(data), 127):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(PeerError):
            verify_good(Partial.from_bytes(KEY, bytes(flipped), 3))


def test_impossible_partials_are_refused_by_their_constructors():
    for index, values in ((0, (5,)), (1, ())):
        with refused(Refusal.PARTIAL_INVALID, PeerError):
            Partial(index, values, GOOD.proof)
    for challenge, response in ((-1, 0), (1 << 128, 0), (0, -1)):
        with refused(Refusal.PARTIAL_PROOF, PeerError):
            PartialProof(challenge, response)
