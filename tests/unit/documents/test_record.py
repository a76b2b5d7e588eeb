import pytest

from hushfleet.codec import encode
from hushfleet.documents import Outcome, open_record, sign_record
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label
from tests.support.documents import PARAMETERS, orchestrator, owner, record
from tests.support.refusals import refused

ABORTED = {"outcome": Outcome.ABORTED, "reason": "combine-residue", "model_after": PARAMETERS, "version_after": 2}


@pytest.mark.parametrize("changes", [{}, ABORTED, {**ABORTED, "root": b"", "device_ids": ()}], ids=["released", "aborted", "aborted early"])
def test_what_was_signed_opens(changes):
    assert open_record(sign_record(record(**changes), orchestrator), orchestrator.verify_key) == record(**changes)


def test_only_the_orchestrator_signs_records_and_only_under_their_label():
    for signed in (sign_record(record(), owner), orchestrator.sign(Label.RECEIPT, encode(record()))):
        with refused(Refusal.SIGNATURE, PeerError):
            open_record(signed, orchestrator.verify_key)


def test_a_record_above_its_ceiling_is_refused():
    with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
        open_record(sign_record(record(reason="x" * (1 << 20)), orchestrator), orchestrator.verify_key)


def test_an_outcome_outside_the_list_is_refused():
    content = encode(record()).replace(b"\xa8released", b"\xa8Released")
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        open_record(orchestrator.sign(Label.RECORD, content), orchestrator.verify_key)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fleet": ""}, Refusal.ID_MALFORMED),
        ({"device_ids": ("pi-01", "pi 02")}, Refusal.ID_MALFORMED),
        ({"root": b""}, Refusal.MESSAGE_MALFORMED),
        ({**ABORTED, "root": bytes(31)}, Refusal.MESSAGE_MALFORMED),
        *(({name: bytes(31)}, Refusal.MESSAGE_MALFORMED) for name in ("key_id", "plan_hash", "model_before", "model_after")),
        *(({"round": value}, Refusal.MESSAGE_MALFORMED) for value in (0, -1, 2**63)),
        *(
            ({name: value}, Refusal.MESSAGE_MALFORMED)
            for name in ("version_after", "rho_nano", "bytes_up", "duration_ms")
            for value in (-1, 2**63)
        ),
    ],
    ids=str,
)
def test_fields_out_of_range_are_refused(changes, reason):
    with refused(reason, PeerError):
        record(**changes)
