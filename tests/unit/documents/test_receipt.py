import pytest

from hushfleet.codec import encode
from hushfleet.documents import ReceiptStatus, open_receipt, sign_receipt
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label
from tests.support.documents import orchestrator, owner, receipt
from tests.support.refusals import refused


@pytest.mark.parametrize("status", ReceiptStatus)
def test_what_was_signed_opens(status):
    said = receipt(status=status, missing=(), reason="knowledge-proof" if status is ReceiptStatus.REFUSED else "")
    assert open_receipt(sign_receipt(said, orchestrator), orchestrator.verify_key) == said


def test_missing_chunks_are_half_open_ranges():
    assert open_receipt(sign_receipt(receipt(), orchestrator), orchestrator.verify_key).missing == ((0, 2), (5, 6))


def test_only_the_orchestrator_signs_receipts_and_only_under_their_label():
    for signed in (sign_receipt(receipt(), owner), orchestrator.sign(Label.RECORD, encode(receipt()))):
        with refused(Refusal.SIGNATURE, PeerError):
            open_receipt(signed, orchestrator.verify_key)


def test_a_status_outside_the_list_is_refused():
    content = encode(receipt()).replace(b"\xa4held", b"\xa4hold")
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        open_receipt(orchestrator.sign(Label.RECEIPT, content), orchestrator.verify_key)


def test_a_receipt_above_its_ceiling_is_refused():
    with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
        open_receipt(sign_receipt(receipt(missing=tuple((2 * n, 2 * n + 1) for n in range(8192))), orchestrator), orchestrator.verify_key)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fleet": "a/b"}, Refusal.ID_MALFORMED),
        ({"device_id": "+"}, Refusal.ID_MALFORMED),
        ({"key_id": bytes(31)}, Refusal.MESSAGE_MALFORMED),
        ({"whole_hash": b""}, Refusal.MESSAGE_MALFORMED),
        ({"round": 0}, Refusal.MESSAGE_MALFORMED),
        ({"round": 2**63}, Refusal.MESSAGE_MALFORMED),
        ({"missing": ((-1, 2),)}, Refusal.MESSAGE_MALFORMED),
        ({"missing": ((0, 1), (2, 2))}, Refusal.MESSAGE_MALFORMED),
        ({"missing": ((3, 2),)}, Refusal.MESSAGE_MALFORMED),
        ({"missing": ((0, 2**63),)}, Refusal.MESSAGE_MALFORMED),
    ],
    ids=str,
)
def test_fields_out_of_range_are_refused(changes, reason):
    with refused(reason, PeerError):
        receipt(**changes)


@pytest.mark.parametrize("reason", ["Late", "late\n", "a" * 64, "\x1b[2J", "späť"])
def test_a_reason_is_an_identifier_since_it_goes_into_a_log(reason: str):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        receipt(reason=reason)
