import hashlib

import pytest

from hushfleet.encryption.paillier.contexts import partial_context, proof_context
from hushfleet.wire import masked_vector_hash

DIGESTS = [bytes([byte]) * 32 for byte in range(3)]


def lp(data):
    return len(data).to_bytes(4, "big") + data


def test_the_masked_vectors_hash_is_labelled_even_when_there_is_none():
    assert masked_vector_hash(b"") == hashlib.sha256(lp(b"hushfleet/v2/hash/masked-vector")).digest()
    assert masked_vector_hash(b"x") == hashlib.sha256(lp(b"hushfleet/v2/hash/masked-vector") + b"x").digest()


def test_contribution_context():
    expected = lp(b"hushfleet/v2/context/contribution") + DIGESTS[0] + lp(b"pi-01") + DIGESTS[1]
    assert proof_context(DIGESTS[0], "pi-01", DIGESTS[1]) == expected


def test_partial_context():
    expected = lp(b"hushfleet/v2/context/partial") + DIGESTS[0] + (9).to_bytes(8, "big") + DIGESTS[1] + DIGESTS[2] + b"\0\3"
    assert partial_context(DIGESTS[0], 9, DIGESTS[1], DIGESTS[2], 3) == expected


@pytest.mark.parametrize("position", range(3))
def test_digests_of_another_length_are_refused(position):
    digests = list(DIGESTS)
    digests[position] = digests[position][:-1]
    with pytest.raises(ValueError, match="32 bytes"):
        partial_context(digests[0], 9, digests[1], digests[2], 3)


def test_contributions_of_digests_of_another_length_are_refused():
    for plan, masked in ((b"", DIGESTS[0]), (DIGESTS[0], b"")):
        with pytest.raises(ValueError, match="32 bytes"):
            proof_context(plan, "pi-01", masked)
