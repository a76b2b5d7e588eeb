import pickle

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hushfleet.codec import decode, encode
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.randomness import SeededRandomness
from hushfleet.signing import Signed, SigningKey, VerifyKey
from tests.support.refusals import refused

SEED = bytes(range(32))
KEY = SigningKey(SEED)
OTHER = SigningKey.generate(SeededRandomness(b"other"))
SIGNED = KEY.sign(Label.PLAN, b"content")
FRAMED = (27).to_bytes(4, "big") + b"hushfleet/v2/signature/plan" + b"content"


def test_the_signature_is_ed25519_over_the_length_prefixed_label_and_the_content():
    Ed25519PublicKey.from_public_bytes(KEY.verify_key.raw).verify(SIGNED.signature, FRAMED)
    assert SIGNED.signature == Ed25519PrivateKey.from_private_bytes(SEED).sign(FRAMED)


def test_opening_gives_the_content():
    assert KEY.verify_key.open(Label.PLAN, SIGNED) == b"content"
    assert KEY.verify_key.open(Label.PLAN, decode(Signed, encode(SIGNED), max_bytes=200)) == b"content"


def test_a_generated_key_takes_its_seed_from_the_randomness():
    assert SigningKey.generate(SeededRandomness(b"other")) == OTHER != KEY


@pytest.mark.parametrize("label", [label for label in Label if label is not Label.PLAN])
def test_a_signature_says_nothing_under_another_label(label):
    with refused(Refusal.SIGNATURE, PeerError):
        KEY.verify_key.open(label, SIGNED)


def test_another_key_did_not_sign():
    with refused(Refusal.SIGNATURE, PeerError):
        OTHER.verify_key.open(Label.PLAN, SIGNED)


@pytest.mark.parametrize("content", [b"", b"Content", b"content ", b"conten", FRAMED])
def test_other_content_was_not_signed(content):
    with refused(Refusal.SIGNATURE, PeerError):
        KEY.verify_key.open(Label.PLAN, Signed(content, SIGNED.signature))


@pytest.mark.parametrize("bit", range(0, 512, 7))
def test_every_bit_of_a_signature_counts(bit):
    altered = bytearray(SIGNED.signature)
    altered[bit // 8] ^= 1 << bit % 8
    with refused(Refusal.SIGNATURE, PeerError):
        KEY.verify_key.verify(Label.PLAN, b"content", bytes(altered))


@pytest.mark.parametrize("signature", [b"", SIGNED.signature[:-1], SIGNED.signature + b"\0", bytes(64), b"\xff" * 64])
def test_signatures_of_another_form_are_refused(signature):
    with refused(Refusal.SIGNATURE, PeerError):
        KEY.verify_key.verify(Label.PLAN, b"content", signature)


def test_a_signature_with_the_group_order_added_is_refused():
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(SIGNED.signature[32:], "little") + order
    with refused(Refusal.SIGNATURE, PeerError):
        KEY.verify_key.verify(Label.PLAN, b"content", SIGNED.signature[:32] + s.to_bytes(32, "little"))


@pytest.mark.parametrize("raw", [bytes(32), (1).to_bytes(32, "little"), b"\xff" * 32])
def test_a_key_of_low_order_or_no_point_verifies_nothing(raw):
    """Under a point of order one or two a signature of zeros would hold for many contents."""
    for signature in (bytes(64), raw + bytes(32), SIGNED.signature):
        with refused(Refusal.SIGNATURE, PeerError):
            VerifyKey(raw).verify(Label.PLAN, b"content", signature)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_keys_of_another_size_are_refused(size):
    with refused(Refusal.KEY_MALFORMED, PeerError):
        VerifyKey(bytes(size))
    with refused(Refusal.KEY_MALFORMED, PeerError):
        SigningKey(bytes(size))


def test_public_keys_are_equal_by_their_bytes():
    again = VerifyKey(bytearray(KEY.verify_key.raw))
    assert again == KEY.verify_key != OTHER.verify_key
    assert len({again, KEY.verify_key, OTHER.verify_key}) == 2
    assert KEY.verify_key != KEY.verify_key.raw


def test_secret_keys_show_nothing_and_do_not_leave_by_accident():
    assert repr(KEY) == "SigningKey(secret)"
    with pytest.raises(TypeError, match="by accident"):
        pickle.dumps(KEY)
    with pytest.raises(TypeError):
        msgspec.msgpack.encode(KEY)
    with pytest.raises(TypeError, match="unhashable"):
        hash(KEY)
    assert KEY.seed() == SEED
    assert SigningKey(SEED) == KEY
    assert KEY != SEED
