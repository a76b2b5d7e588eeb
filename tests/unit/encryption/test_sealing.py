import copy
import pickle

import nacl.public
import pytest

from hushfleet.encryption import SEAL_BYTES, SealingKey, SealingPublicKey, seal, sealed_size, unseal
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label, labelled, length_prefixed
from hushfleet.randomness import SeededRandomness
from tests.support.refusals import refused

KEY = SealingKey.generate(SeededRandomness(b"recipient"))
OTHER = SealingKey.generate(SeededRandomness(b"somebody else"))
LABEL, CONTEXT, CONTENT = Label.SEAL_ANSWER, b"round 7", b"a partial decryption"
PRIME = 2**255 - 19
ORDER_EIGHT = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)


def test_what_was_sealed_opens_for_the_recipient_only():
    sealed = seal(KEY.public, LABEL, CONTEXT, CONTENT)
    assert unseal(KEY, LABEL, CONTEXT, sealed) == CONTENT
    with refused(Refusal.SEAL, PeerError):
        unseal(OTHER, LABEL, CONTEXT, sealed)


def test_any_flipped_bit_is_refused():
    sealed = seal(KEY.public, LABEL, CONTEXT, CONTENT)
    for position in range(8 * len(sealed)):
        altered = bytearray(sealed)
        altered[position // 8] ^= 1 << position % 8
        with refused(Refusal.SEAL, PeerError):
            unseal(KEY, LABEL, CONTEXT, bytes(altered))


def test_any_truncation_and_extension_is_refused():
    sealed = seal(KEY.public, LABEL, CONTEXT, CONTENT)
    for altered in [sealed[:length] for length in range(len(sealed))] + [sealed + b"\0"]:
        with refused(Refusal.SEAL, PeerError):
            unseal(KEY, LABEL, CONTEXT, altered)


@pytest.mark.parametrize("label", [label for label in Label if label is not LABEL])
def test_another_label_is_refused(label):
    with refused(Refusal.SEAL, PeerError):
        unseal(KEY, LABEL, CONTEXT, seal(KEY.public, label, CONTEXT, CONTENT))


@pytest.mark.parametrize("context", [b"", b"round 8", CONTEXT[:-1], CONTEXT + CONTENT[:1]])
def test_another_context_is_refused_wherever_it_ends(context):
    with refused(Refusal.SEAL, PeerError):
        unseal(KEY, LABEL, context, seal(KEY.public, LABEL, CONTEXT, CONTENT))


def test_two_seals_of_one_content_differ():
    assert seal(KEY.public, LABEL, CONTEXT, CONTENT) != seal(KEY.public, LABEL, CONTEXT, CONTENT)


@pytest.mark.parametrize("content", [b"", bytes(1), bytes(100_000)])
def test_the_size_is_known_in_advance(content):
    sealed = seal(KEY.public, LABEL, CONTEXT, content)
    assert len(sealed) == sealed_size(LABEL, len(CONTEXT), len(content))
    assert SEAL_BYTES == 48
    assert unseal(KEY, LABEL, CONTEXT, sealed) == content


def test_a_box_of_the_bare_library_opens_here():
    plain = labelled(LABEL, length_prefixed(CONTEXT), CONTENT)
    sealed = nacl.public.SealedBox(nacl.public.PublicKey(KEY.public.raw)).encrypt(plain)
    assert unseal(KEY, LABEL, CONTEXT, sealed) == CONTENT


def test_a_box_made_here_opens_in_the_bare_library():
    plain = nacl.public.SealedBox(nacl.public.PrivateKey(KEY.seed())).decrypt(seal(KEY.public, LABEL, CONTEXT, CONTENT))
    assert plain == labelled(LABEL, length_prefixed(CONTEXT), CONTENT)


@pytest.mark.parametrize("plain", [b"", CONTENT, labelled(LABEL), labelled(LABEL, CONTEXT, CONTENT)])
def test_a_box_without_label_and_context_is_refused(plain):
    sealed = nacl.public.SealedBox(nacl.public.PublicKey(KEY.public.raw)).encrypt(plain)
    with refused(Refusal.SEAL, PeerError):
        unseal(KEY, LABEL, CONTEXT, sealed)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_keys_of_a_wrong_length_are_refused(length):
    with refused(Refusal.KEY_MALFORMED, PeerError):
        SealingPublicKey(bytes(length))
    with refused(Refusal.KEY_MALFORMED, PeerError):
        SealingKey(bytes(length))


@pytest.mark.parametrize("point", [0, 1, PRIME - 1, *ORDER_EIGHT])
def test_points_of_low_order_are_refused(point):
    with refused(Refusal.KEY_MALFORMED, PeerError):
        SealingPublicKey(point.to_bytes(32, "little"))


@pytest.mark.parametrize("point", [PRIME, PRIME + 9, 2**255 + 9, 2**256 - 1])
def test_a_second_encoding_of_a_key_is_refused(point):
    with refused(Refusal.KEY_MALFORMED, PeerError):
        SealingPublicKey(point.to_bytes(32, "little"))


def test_the_base_point_is_accepted():
    assert SealingPublicKey((9).to_bytes(32, "little")).raw[0] == 9


def test_public_keys_compare_by_value():
    twin = SealingPublicKey(KEY.public.raw)
    assert twin == KEY.public
    assert hash(twin) == hash(KEY.public)
    assert twin != OTHER.public
    assert KEY.public.raw.hex()[:16] in repr(twin)


def test_a_secret_key_comes_back_from_its_seed():
    assert SealingKey(KEY.seed()) == KEY != OTHER
    assert SealingKey(KEY.seed()).public == KEY.public


def test_a_secret_key_shows_nothing_and_cannot_be_copied_by_accident():
    assert KEY.seed().hex()[:8] not in repr(KEY)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, hash):
        with pytest.raises(TypeError):
            leak(KEY)
