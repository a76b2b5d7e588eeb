import msgspec
import pytest

from hushfleet.codec import decode, encode
from hushfleet.documents import DecryptionRequest, JournalHead
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.randomness import SystemRandomness
from hushfleet.signing import Signed, VerifyKey
from hushfleet.wire import (
    Contribution,
    DeviceStatus,
    Evidence,
    Presence,
    Readiness,
    SealedAnswer,
    answer_seal_context,
    contribution_seal_context,
    decode_decryption_request,
    decode_signed,
    encode_signed,
    new_boot_id,
    open_status,
    sign_status,
)
from hushfleet.wire.limits import LIMITS
from hushfleet.wire.status import STAYS_OUT
from tests.support.documents import DEVICES, FLEET, KEY_ID, answer, body, orchestrator, status
from tests.support.refusals import refused

OWN = DEVICES["pi-01"][0]
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
    status(presence=Presence.OFFLINE, round=0, software=""),
    status(presence=Presence.SENT, round=2**63 - 1, software="1.2.3.dev4+local"),
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


@pytest.mark.parametrize(
    "changes",
    [{"round": -1}, {"round": 2**63}, *({"software": text} for text in ("x" * 41, "é", "a\nb")), {"boot_id": bytes(15)}],
    ids=str,
)
def test_fields_of_a_status_out_of_range_are_refused(changes):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        status(**changes)


LONGEST = Readiness(max(STAYS_OUT, key=len), 2**63 - 1, 1_000_000, "~" * 80)


@pytest.mark.parametrize(
    "changes",
    [
        *({"out": reason} for reason in Refusal if reason not in STAYS_OUT),
        *({"left_nano": value} for value in (-1, 2**63)),
        *({"certificate_day": value} for value in (-1, 1_000_001)),
        *({"shown": text} for text in ("x" * 81, "\u00e9", "a\nb", "\x1b[2J")),
    ],
    ids=str,
)
def test_a_device_says_no_more_of_its_readiness_than_a_plan_can_tell(changes):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        msgspec.structs.replace(LONGEST, **changes)


def test_no_reason_for_staying_out_could_follow_from_data():
    assert not {one for one in STAYS_OUT if one.value.startswith(("data-", "update-", "training-failed", "settings-"))}


def test_a_status_is_short_and_says_one_of_four_things():
    longest = status(
        fleet="f" * 63, device_id="d" * 63, round=2**63 - 1, software="x" * 40, journal=JournalHead(2**63 - 1, bytes(32)), readiness=LONGEST
    )
    assert len(sign_status(longest, OWN)) <= LIMITS.status
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        decode(DeviceStatus, encode(longest).replace(b"working", b"resting"), max_bytes=LIMITS.status)


def test_a_status_is_its_devices_own_word():
    def opened(data: bytes, key: VerifyKey = OWN.verify_key, **where: str):
        return open_status(data, key, **{"fleet": FLEET, "device_id": "pi-01", **where})

    assert opened(sign_status(status(), OWN)) == status()
    for wrong in (
        lambda: opened(sign_status(status(), DEVICES["pi-02"][0])),
        lambda: opened(encode(OWN.sign(Label.BODY, encode(status())))),
        lambda: opened(sign_status(status(device_id="pi-02"), OWN)),
        lambda: opened(sign_status(status(), OWN), fleet="orchard"),
    ):
        with refused(Refusal.SIGNATURE, PeerError):
            wrong()


def test_each_process_has_a_boot_id_of_its_own():
    randomness = SystemRandomness()
    assert len({new_boot_id(randomness) for _ in range(10)}) == 10
    assert len(new_boot_id(randomness)) == 16


def test_the_contexts_of_seals_are_of_fixed_form():
    assert contribution_seal_context(KEY_ID, 258, "pi-01") == KEY_ID + bytes.fromhex("000000000000010200000005") + b"pi-01"
    assert answer_seal_context(KEY_ID, 258, 3) == KEY_ID + bytes.fromhex("00000000000001020003")


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
