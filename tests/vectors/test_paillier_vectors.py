"""Replays `paillier.json` through the library."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from hushfleet.encryption.paillier import (
    KeyShare,
    KnowledgeProof,
    Partial,
    PublicKey,
    Statement,
    answer,
    check_share,
    ciphertexts_from_bytes,
    ciphertexts_to_bytes,
    combine,
    deal,
    encrypt,
    pack,
    partial_context,
    proof_context,
    prove,
    sum_ciphertexts,
    unpack,
    verify,
    verify_batch,
    verify_partial,
)
from hushfleet.errors import Refusal
from hushfleet.randomness import SeededRandomness, SystemRandomness
from hushfleet.wire import masked_vector_hash
from tests.support.refusals import refused

VECTORS = json.loads((Path(__file__).parent / "paillier.json").read_text())
KEY = PublicKey.from_bytes(bytes.fromhex(VECTORS["public"]), members=4, insecure=True)
TOTAL = ciphertexts_from_bytes(KEY, bytes.fromhex(VECTORS["sum"]), 2)


def cases(name):
    return pytest.mark.parametrize("case", VECTORS[name], ids=lambda case: str(case.get("why", case.get("seed", ""))))


def seeded(case):
    return SeededRandomness(case["seed"].encode())


def raw(case, field):
    return bytes.fromhex(case[field])


def numbers(case, field):
    return [int(text, 16) for text in case[field]]


def dealt(case):
    primes = int(case["p"], 16), int(case["q"], 16)
    return deal(case["bits"], case["f"], seeded(case), primes=primes, insecure=case.get("insecure", True))


@cases("dealing")
def test_dealing(case):
    dealing = dealt(case)
    assert dealing.public.to_bytes() == raw(case, "public")
    assert [share.value for share in dealing.shares] == numbers(case, "shares")


@cases("tampered_dealing")
def test_tampered_dealing(case):
    with refused(Refusal(case["refusal"])):
        dealt(case)


@cases("tampered_public")
def test_tampered_public(case):
    with refused(Refusal(case["refusal"])):
        PublicKey.from_bytes(raw(case, "public"), members=case["members"], insecure=True)


def test_shares():
    for data in VECTORS["shares"]:
        share = KeyShare.from_bytes(KEY, bytes.fromhex(data))
        check_share(KEY, share)
        assert share.to_bytes(KEY).hex() == data


@cases("tampered_share")
def test_tampered_share(case):
    with refused(Refusal(case["refusal"])):
        check_share(KEY, KeyShare.from_bytes(KEY, raw(case, "share")))


@cases("packing")
def test_packing(case):
    values = np.array(case["values"], np.int64)
    assert pack(values, case["width"], KEY) == numbers(case, "plaintexts")
    assert np.array_equal(unpack(numbers(case, "plaintexts"), values.size, case["width"], KEY), values)


@cases("tampered_packing")
def test_tampered_packing(case):
    with refused(Refusal(case["refusal"])):
        pack(np.array(case["values"], np.int64), case["width"], KEY)


@cases("tampered_plaintexts")
def test_tampered_plaintexts(case):
    with refused(Refusal(case["refusal"])):
        unpack(numbers(case, "plaintexts"), case["count"], 20, KEY)


def test_contexts():
    case = VECTORS["contexts"]
    masked = masked_vector_hash(raw(case, "masked_vector"))
    assert masked == raw(case, "masked_vector_hash")
    assert masked_vector_hash(b"") == raw(case, "empty_hash")
    assert proof_context(raw(case, "plan_hash"), case["device"], masked) == raw(case, "contribution")
    made = partial_context(raw(case, "key_id"), case["round"], raw(case, "plan_hash"), raw(case, "root"), case["index"])
    assert made == raw(case, "partial")


@cases("contributions")
def test_contributions(case):
    randomness, plaintexts = seeded(case), pack(np.array(case["values"], np.int64), case["width"], KEY)
    encryption = encrypt(KEY, plaintexts, randomness)
    assert list(encryption.openings) == numbers(case, "openings")
    assert ciphertexts_to_bytes(KEY, encryption.ciphertexts) == raw(case, "ciphertexts")
    proof = prove(KEY, encryption, plaintexts, raw(case, "context"), randomness)
    assert proof.to_bytes(KEY) == raw(case, "proof")
    verify(KEY, encryption.ciphertexts, raw(case, "context"), KnowledgeProof.from_bytes(KEY, raw(case, "proof")))


@cases("tampered_ciphertexts")
def test_tampered_ciphertexts(case):
    with refused(Refusal(case["refusal"])):
        ciphertexts_from_bytes(KEY, raw(case, "ciphertexts"), case["count"])


def statement(case):
    ciphertexts = ciphertexts_from_bytes(KEY, raw(case, "ciphertexts"), case.get("count", 2))
    return Statement(ciphertexts, raw(case, "context"), KnowledgeProof.from_bytes(KEY, raw(case, "proof")))


@cases("tampered_knowledge")
def test_tampered_knowledge(case):
    with refused(Refusal(case["refusal"])):
        bad = statement(case)
        verify(KEY, bad.ciphertexts, bad.context, bad.proof)


def test_batches_name_every_tampered_statement():
    good = [statement(case) for case in VECTORS["contributions"]]
    bad = [statement(case) for case in VECTORS["tampered_knowledge"] if case["why"] != "one byte short"]
    assert verify_batch(KEY, [*good, *bad], SystemRandomness()) == tuple(range(2, 2 + len(bad)))


def test_the_sum():
    assert sum_ciphertexts(KEY, [statement(case).ciphertexts for case in VECTORS["contributions"]]) == TOTAL


@cases("partials")
def test_partials(case):
    share = KeyShare.from_bytes(KEY, bytes.fromhex(VECTORS["shares"][case["index"] - 1]))
    assert answer(KEY, share, TOTAL, raw(case, "context"), seeded(case)).to_bytes(KEY) == raw(case, "partial")
    verify_partial(KEY, TOTAL, Partial.from_bytes(KEY, raw(case, "partial"), 2), raw(case, "context"))


@cases("tampered_partials")
def test_tampered_partials(case):
    with refused(Refusal(case["refusal"])):
        verify_partial(KEY, TOTAL, Partial.from_bytes(KEY, raw(case, "partial"), 2), raw(case, "context"))


def test_every_quorum_opens_the_sum():
    opened, partials = VECTORS["opened"], [Partial.from_bytes(KEY, raw(case, "partial"), 2) for case in VECTORS["partials"]]
    for quorum in itertools.combinations(partials, KEY.threshold):
        assert list(combine(KEY, TOTAL, quorum)) == numbers(opened, "plaintexts")
    expected = np.sum([case["values"] for case in VECTORS["contributions"]], axis=0).tolist()
    assert unpack(numbers(opened, "plaintexts"), 40, opened["width"], KEY).tolist() == opened["values"] == expected


@cases("tampered_combination")
def test_tampered_combinations(case):
    with refused(Refusal(case["refusal"])):
        combine(KEY, TOTAL, [Partial.from_bytes(KEY, bytes.fromhex(data), 2) for data in case["partials"]])
