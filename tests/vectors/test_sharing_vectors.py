import json
from pathlib import Path

import pytest

from hushfleet.errors import Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.sharing import FIELD, VectorShare, add, combine, combine_scalar, deal, deal_integer, deal_scalar, integer_coefficients
from tests.support.refusals import refused

VECTORS = json.loads(Path(__file__).with_name("sharing.json").read_text())


def unpacked(shares, count):
    return {index: VectorShare.from_bytes(bytes.fromhex(data), index=index, count=count) for index, data in shares.items()}


def test_the_modulus():
    assert VECTORS["modulus"] == FIELD.modulus


@pytest.mark.parametrize("case", VECTORS["coefficients"])
def test_coefficients(case):
    assert list(integer_coefficients(case["indices"], case["members"]).values()) == case["lambda"]


@pytest.mark.parametrize("case", VECTORS["integer"])
def test_integer_dealing(case):
    shares = deal_integer(
        int(case["secret"], 16),
        threshold=case["threshold"],
        members=case["members"],
        modulus=int(case["modulus"], 16),
        randomness=SeededRandomness(case["seed"].encode()),
    )
    assert [hex(share) for share in shares] == case["shares"]


@pytest.mark.parametrize("case", VECTORS["scalar"])
def test_scalar_dealing_and_opening(case):
    randomness = SeededRandomness(case["seed"].encode())
    shares = deal_scalar(case["secret"], threshold=case["threshold"], members=case["members"], randomness=randomness)
    assert [share.value for share in shares] == case["shares"]
    assert combine_scalar({share.index: share for share in shares}, case["threshold"]) == case["opened"] == case["secret"]


@pytest.mark.parametrize("case", VECTORS["vector"])
def test_vector_dealing_adding_and_opening(case):
    dealt = [
        deal(secret, threshold=case["threshold"], members=case["members"], randomness=SeededRandomness(seed.encode()))
        for seed, secret in zip(case["seeds"], case["secrets"], strict=True)
    ]
    assert [[share.to_bytes().hex() for share in shares] for shares in dealt] == case["shares"]
    assert [add(shares).to_bytes().hex() for shares in zip(*dealt, strict=True)] == case["sums"]
    stored = unpacked(dict(enumerate(case["sums"], start=1)), len(case["opened"]))
    assert combine(stored, case["threshold"]).tolist() == case["opened"]
    assert case["opened"] == [sum(column) for column in zip(*case["secrets"], strict=True)]


@pytest.mark.parametrize("case", VECTORS["tampered_set"], ids=lambda case: case["what"])
def test_tampered_sets(case):
    shares = unpacked({int(index): data for index, data in case["shares"].items()}, case["count"])
    if case["refusal"] is None:
        assert combine(shares, case["threshold"]).tolist() == [1, -2, 3]
        return
    with refused(Refusal(case["refusal"])):
        combine(shares, case["threshold"])


@pytest.mark.parametrize("case", VECTORS["tampered_share"], ids=lambda case: case["what"])
def test_tampered_shares(case):
    data = bytes.fromhex(case["bytes"])
    if case["refusal"] is None:
        assert VectorShare.from_bytes(data, index=case["index"], count=case["count"]).to_bytes() == data
        return
    with refused(Refusal(case["refusal"])):
        VectorShare.from_bytes(data, index=case["index"], count=case["count"])
