import pytest

from hushfleet.codec import decode, encode
from hushfleet.documents import DecryptionRequest
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.signing import Signed
from hushfleet.wire import (
    Contribution,
    DeviceStatus,
    Evidence,
    Presence,
    SealedAnswer,
    answer_seal_context,
    contribution_seal_context,
    decode_decryption_request,
    decode_signed,
    decode_status,
    encode_signed,
)
from hushfleet.wire.limits import LIMITS
from tests.support.documents import KEY_ID, answer, body, orchestrator
from tests.support.refusals import refused

SIGNED = orchestrator.sign(Label.BODY, encode(body()))
MESSAGES = [
    body(),
    body(items=(), proof=b""),
    answer(),
    answer(index=10, round=2**63 - 1, items=()),
    Contribution(SIGNED, b"masked", (b"share", b"")),
    Contribution(SIGNED, b"", ()),
    SealedAnswer(SIGNED),
    Evidence(SIGNED, SIGNED),
    DecryptionRequest(SIGNED, SIGNED, (SIGNED, SIGNED)),
    DecryptionRequest(SIGNED, SIGNED, ()),
    SIGNED,
    DeviceStatus(Presence.OFFLINE, 0, ""),
    DeviceStatus(Presence.SENT, 2**63 - 1, "1.2.3.dev4+local"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_decoding_inverts_encoding(message):
    assert decode(type(message), encode(message), max_bytes=10_000) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_truncation_and_every_byte_more_is_refused(message):
    data = encode(message)
    for altered in (*(data[:length] for length in range(len(data))), data + b"\0", data + data):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            decode(type(message), altered, max_bytes=10_000)


@pytest.mark.parametrize("kind", dict.fromkeys(type(message) for message in MESSAGES), ids=lambda kind: kind.__name__)
def test_no_message_passes_for_another(kind):
    for message in MESSAGES:
        if type(message) is kind or {type(message), kind} == {Evidence, Signed}:
            continue
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            decode(kind, encode(message), max_bytes=10_000)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device_id": "PI"}, Refusal.ID_MALFORMED),
        *(({name: bytes(size)}, Refusal.MESSAGE_MALFORMED) for name in ("plan_hash", "masked_hash") for size in (0, 31, 33)),
    ],
    ids=str,
)
def test_fields_of_a_body_out_of_range_are_refused(changes, reason):
    with refused(reason, PeerError):
        body(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        *({name: bytes(size)} for name in ("key_id", "plan_hash", "root") for size in (0, 31, 33)),
        *({"round": value} for value in (0, -1, 2**63)),
        *({"index": value} for value in (0, -1, 11, 2**16)),
    ],
    ids=str,
)
def test_fields_of_an_answer_out_of_range_are_refused(changes):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        answer(**changes)


@pytest.mark.parametrize("changes", [{"round": -1}, {"round": 2**63}, *({"software": text} for text in ("x" * 41, "é", "a\nb"))], ids=str)
def test_fields_of_a_status_out_of_range_are_refused(changes):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        DeviceStatus(**{"presence": Presence.IDLE, "round": 1, "software": "1"} | changes)


def test_a_status_is_short_and_says_one_of_four_things():
    longest = encode(DeviceStatus(Presence.WORKING, 2**63 - 1, "x" * 40))
    assert len(longest) <= LIMITS.status
    assert decode_status(longest).presence is Presence.WORKING
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        decode_status(longest.replace(b"working", b"resting"))


def test_the_contexts_of_seals_are_of_fixed_form():
    assert contribution_seal_context(KEY_ID, 258, "pi-01") == KEY_ID + bytes.fromhex("0000000000000102" "00000005") + b"pi-01"
    assert answer_seal_context(KEY_ID, 258, 3) == KEY_ID + bytes.fromhex("0000000000000102" "0003")


def test_contexts_tell_keys_rounds_devices_and_members_apart():
    contributions = [(KEY_ID, 1, "pi-01"), (bytes(32), 1, "pi-01"), (KEY_ID, 2, "pi-01"), (KEY_ID, 1, "pi-02")]
    answers = [(KEY_ID, 1, 1), (bytes(32), 1, 1), (KEY_ID, 2, 1), (KEY_ID, 1, 2)]
    assert len({contribution_seal_context(*one) for one in contributions} | {answer_seal_context(*one) for one in answers}) == 8


def test_a_signed_document_travels_unread():
    assert decode_signed(encode_signed(SIGNED)) == SIGNED
    unread = Signed(b"anything", b"no signature")
    assert decode_signed(encode_signed(unread)) == unread


def test_a_request_travels_unread():
    request = DecryptionRequest(SIGNED, SIGNED, (SIGNED,))
    assert decode_decryption_request(encode(request)) == request


@pytest.mark.parametrize("more", [0, 1])
def test_a_signed_document_has_a_ceiling(more):
    room = LIMITS.signed_document - len(encode_signed(Signed(bytes(1 << 20), b"")))
    data = encode_signed(Signed(bytes(1 << 20), bytes(room + more)))
    assert len(data) == LIMITS.signed_document + more
    if more:
        with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
            decode_signed(data)
    else:
        assert len(decode_signed(data).content) == 1 << 20
