import hashlib

import pytest

from hushfleet.labels import Label, concatenated, labelled, labelled_hash, labelled_xof, length_prefixed, sha256, unsigned


def test_a_label_carries_product_version_and_use():
    assert Label.PLAN.wire == b"hushfleet/v2/signature/plan"


def test_no_two_uses_share_a_label():
    assert len({label.wire for label in Label}) == len(Label.__members__)


def test_a_length_is_four_bytes_big_endian():
    assert length_prefixed(b"abc").hex() == "00000003" + b"abc".hex()
    assert length_prefixed(b"x" * 258)[:4].hex() == "00000102"
    assert length_prefixed(b"").hex() == "00000000"


def test_a_label_stands_length_prefixed_before_the_parts_and_nothing_between_them():
    assert labelled(Label.PLAN, b"ab", b"c") == bytes([0, 0, 0, 27]) + b"hushfleet/v2/signature/plan" + b"abc"


def test_the_labelled_hash_is_sha256_and_the_xof_shake128():
    content = bytes([0, 0, 0, 22]) + b"hushfleet/v2/hash/root" + b"abc"
    assert labelled_hash(Label.ROOT, b"abc") == hashlib.sha256(content).digest()
    assert labelled_xof(Label.ROOT, 7, b"a", b"bc") == hashlib.shake_128(content).digest(7)


def test_the_same_content_hashes_differently_under_every_label_and_under_none():
    hashes = {labelled_hash(label, b"abc") for label in Label} | {sha256(b"abc")}
    assert len(hashes) == len(Label.__members__) + 1


def test_plain_sha256_is_that_of_the_standard():
    assert sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_integers_have_a_fixed_width():
    assert unsigned(258, 4).hex() == "00000102"
    assert concatenated([1, 2, 65_535], 2).hex() == "00010002ffff"
    assert concatenated([], 8) == b""


@pytest.mark.parametrize("value", [-1, 256, 1 << 70])
def test_integers_that_do_not_fit_are_no_silent_wrap(value):
    with pytest.raises(OverflowError):
        unsigned(value, 1)
