import math

import pytest

from hushfleet.codec import Message, decode, encode
from hushfleet.errors import LocalError, PeerError, Refusal
from tests.support.refusals import refused


class Inner(Message, frozen=True):
    number: int
    flag: bool


class Outer(Message, frozen=True):
    text: str
    value: float
    parts: tuple[bytes, ...]
    inner: Inner


class Small(Message, frozen=True):
    number: int

    def __post_init__(self) -> None:
        if self.number == 13:
            raise PeerError(Refusal.POLICY_INVALID, "not 13")
        if self.number == 14:
            raise ValueError("not 14")
        if self.number == 15:
            raise LocalError(Refusal.SETTINGS_INVALID, "not 15")


MESSAGE = Outer("hello", 1.5, (b"a", b""), Inner(-3, True))
BYTES = bytes.fromhex("920294a568656c6c6fcb3ff800000000000092c40161c40092fdc3")


def opened(data: bytes, kind: type[Message] = Outer, *, max_bytes: int = 100) -> Message:
    return decode(kind, data, max_bytes=max_bytes)


def test_a_message_is_an_array_of_the_version_and_the_array_of_its_fields():
    assert encode(MESSAGE) == BYTES
    assert opened(BYTES) == MESSAGE


def test_messages_cannot_be_altered():
    with pytest.raises(AttributeError):
        MESSAGE.text = "other"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("length", range(len(BYTES)))
def test_every_truncation_is_refused(length):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        opened(BYTES[:length])


@pytest.mark.parametrize("more", [b"\0", b"\xc0", BYTES])
def test_what_is_left_over_is_refused(more):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        opened(BYTES + more)


def test_the_size_is_judged_before_anything_is_parsed():
    assert opened(BYTES, max_bytes=len(BYTES)) == MESSAGE
    for data in (BYTES, b"\xff" * len(BYTES)):
        with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
            opened(data, max_bytes=len(BYTES) - 1)


@pytest.mark.parametrize("version", ["00", "01", "03", "7f", "ff", "cfffffffffffffffff"])
def test_another_version_is_refused_whatever_it_holds(version):
    for content in (BYTES[2:], b"\xc0"):
        with refused(Refusal.MESSAGE_VERSION, PeerError):
            opened(bytes.fromhex("92" + version) + content)


def test_the_refusal_of_the_version_before_says_that_it_is_no_longer_spoken():
    with pytest.raises(PeerError, match="outer: protocol version 1 is no longer spoken; this is version 2"):
        opened(b"\x92\x01" + BYTES[2:])
    with pytest.raises(PeerError, match="protocol version 3 is newer than this one"):
        opened(b"\x92\x03" + BYTES[2:])


@pytest.mark.parametrize(
    "altered",
    [
        pytest.param("920295a568656c6c6fcb3ff800000000000092c40161c40092fdc3c0", id="a field too many"),
        pytest.param("920293a568656c6c6fcb3ff800000000000092c40161c400", id="a field too few"),
        pytest.param("920294a568656c6c6fcb3ff800000000000092c40161c40093fdc3c0", id="an inner field too many"),
        pytest.param("920294a568656c6c6fcb3ff800000000000092c40161c40091fd", id="an inner field too few"),
        pytest.param("920294c40568656c6c6fcb3ff800000000000092c40161c40092fdc3", id="bytes for a text"),
        pytest.param("920294a568656c6cffcb3ff800000000000092c40161c40092fdc3", id="a text that is not UTF-8"),
        pytest.param("920294a568656c6c6fcb3ff800000000000092a161c40092fdc3", id="a text for bytes"),
        pytest.param("920294a568656c6c6fcb3ff800000000000092c40161c40092cb3ff0000000000000c3", id="a float for an integer"),
        pytest.param("920294a568656c6c6fcb3ff800000000000092c40161c40092c3c3", id="a truth for an integer"),
        pytest.param("920294a568656c6c6fcb3ff800000000000092c40161c40092fd01", id="an integer for a truth"),
        pytest.param("920294c0cb3ff800000000000092c40161c40092fdc3", id="nil"),
        pytest.param("920284a474657874a0", id="a map"),
        pytest.param("930294a568656c6c6fcb3ff800000000000092c40161c40092fdc3c0", id="an envelope with more"),
        pytest.param("94a568656c6c6fcb3ff800000000000092c40161c40092fdc3", id="no envelope"),
        pytest.param("92c394a568656c6c6fcb3ff800000000000092c40161c40092fdc3", id="true for a version"),
        pytest.param("920294a568656c6c6fcb3ff8000000000000dfffffffff92fdc3", id="a huge map"),
        pytest.param("920294a568656c6c6fcb3ff8000000000000ddffffffff92fdc3", id="an array of 2^32 parts that are not there"),
        pytest.param("920294dbffffffff", id="a text of 2^32 bytes that are not there"),
        pytest.param("9202" + "91" * 90, id="nested arrays"),
        pytest.param("9202c1", id="a byte that is no msgpack"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_has_another_form_is_refused(altered):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        opened(bytes.fromhex(altered))


def test_depth_without_end_is_refused_and_does_not_exhaust_the_stack():
    for data in (b"\x92\x02" + b"\x91" * 10**6, b"\x92" * 10**6):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            opened(data, max_bytes=2 * 10**6)


def test_a_constructor_refuses_while_decoding_with_its_own_reason():
    assert opened(encode(Small(12)), Small) == Small(12)
    with refused(Refusal.POLICY_INVALID, PeerError):
        opened(bytes.fromhex("9202910d"), Small)
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        opened(bytes.fromhex("9202910e"), Small)


def test_what_is_a_persons_mistake_here_is_the_peers_fault_when_it_arrives():
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        Small(15)
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        opened(bytes.fromhex("9202910f"), Small)


@pytest.mark.parametrize("value", [0.0, -0.0, math.inf, 5e-324])
def test_floats_keep_every_bit(value):
    read = opened(encode(Outer("", value, (), Inner(0, False))))
    assert isinstance(read, Outer)
    assert read.value.hex() == value.hex()
