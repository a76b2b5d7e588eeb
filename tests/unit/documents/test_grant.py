import pytest

from hushfleet.codec import encode
from hushfleet.documents import SignedGrant, open_grant, sign_grant
from hushfleet.errors import FaultyOwner, PeerError, Refusal
from hushfleet.labels import Label
from tests.support.documents import KEY_ID, grant, orchestrator, owner
from tests.support.refusals import refused


def opened(data: bytes, member_id: str = "pi-02", key_id: bytes = KEY_ID):
    return open_grant(data, owner.verify_key, member_id=member_id, key_id=key_id)


def test_a_grant_opens_for_its_member_and_key():
    assert opened(sign_grant(grant(), owner)) == grant()


@pytest.mark.parametrize("other", [{"member_id": "pi-01"}, {"member_id": "pi-002"}, {"key_id": bytes(32)}, {"key_id": KEY_ID[:31]}])
def test_a_grant_for_another_member_or_key_is_refused(other):
    with refused(Refusal.SHARE_FOR_ANOTHER, FaultyOwner):
        opened(sign_grant(grant(), owner), **other)


def test_only_the_owner_grants_and_only_under_its_own_label():
    with refused(Refusal.SIGNATURE, PeerError):
        opened(sign_grant(grant(), orchestrator))
    with refused(Refusal.SIGNATURE, PeerError):
        opened(encode(SignedGrant(owner.sign(Label.ROSTER, encode(grant())))))


@pytest.mark.parametrize("size", [0, 40])
def test_a_signed_something_else_is_no_grant(size):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        opened(encode(SignedGrant(owner.sign(Label.KEY_SHARE, bytes(size)))))


def test_a_grant_above_its_ceiling_is_refused():
    with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
        opened(sign_grant(grant(share=bytes(16 << 10)), owner))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fleet": "A"}, Refusal.ID_MALFORMED),
        ({"member_id": ""}, Refusal.ID_MALFORMED),
        ({"key_id": bytes(31)}, Refusal.MESSAGE_MALFORMED),
        ({"index": 0}, Refusal.MESSAGE_MALFORMED),
        ({"index": -1}, Refusal.MESSAGE_MALFORMED),
        ({"index": 11}, Refusal.MESSAGE_MALFORMED),
    ],
)
def test_fields_out_of_range_are_refused(changes, reason):
    with refused(reason, PeerError):
        grant(**changes)


def test_neither_form_shows_the_share():
    signed = SignedGrant(owner.sign(Label.KEY_SHARE, encode(grant())))
    shown = repr(grant()) + str(grant()) + repr(signed) + str(signed)
    assert "secret share" not in shown
    assert "pi-02" in repr(grant())
