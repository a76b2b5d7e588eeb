"""The status of a device: what it is at, signed by itself and retained by the broker (PROTOCOL 7, 8)."""

from enum import StrEnum

from hushfleet.codec import Message, decode, encode
from hushfleet.documents import JournalHead
from hushfleet.documents.validation import require_counts, require_ids
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.randomness import Randomness
from hushfleet.signing import Signed, SigningKey, VerifyKey
from hushfleet.wire.limits import LIMITS

BOOT_ID_BYTES = 16
_MAX_SOFTWARE = 40


class Presence(StrEnum):
    """The work that a device is at, as far as everybody may know."""

    OFFLINE = "offline"
    IDLE = "idle"
    WORKING = "working"
    """From an accepted plan to the finished contribution: also when there is nothing to train on."""
    SENT = "sent"
    """Its contribution waits for the receipt."""


class DeviceStatus(Message, frozen=True):
    """The status that a device tells, retained; the last will is an `offline` that it signed when it started.

    Holds nothing that depends on data. `round` is the last round seen (0: none), `software` the version it runs, `boot_id` 16 bytes
    drawn when its process started, `journal` the head of its journal. A broker can play an old one again: nothing that grants
    anything may rest on it. Raises `PeerError`: `ID_MALFORMED`, `MESSAGE_MALFORMED`.
    """

    fleet: str
    device_id: str
    presence: Presence
    round: int
    software: str
    boot_id: bytes
    journal: JournalHead

    def __post_init__(self) -> None:
        require_ids(self.fleet, self.device_id)
        require_counts(self.round)
        if not (len(self.software) <= _MAX_SOFTWARE and self.software.isascii() and self.software.isprintable()):
            raise PeerError(Refusal.MESSAGE_MALFORMED, "a software version is one short line")
        if len(self.boot_id) != BOOT_ID_BYTES:
            raise PeerError(Refusal.MESSAGE_MALFORMED, f"a boot id has {BOOT_ID_BYTES} bytes, not {len(self.boot_id)}")


def new_boot_id(randomness: Randomness) -> bytes:
    """The boot id of a process that starts: fresh, never kept."""
    return randomness.octets(BOOT_ID_BYTES)


def sign_status(status: DeviceStatus, device: SigningKey) -> bytes:
    """The status as a device publishes it, under its own key."""
    return encode(device.sign(Label.STATUS, encode(status)))


def open_status(data: bytes, device: VerifyKey, *, fleet: str, device_id: str) -> DeviceStatus:
    """Verify with the key that the roster holds for `device_id`, then decode.

    Raises `PeerError`: as `decode`; `SIGNATURE` also where it names another device or fleet.
    """
    signed = decode(Signed, data, max_bytes=LIMITS.status)
    status = decode(DeviceStatus, device.open(Label.STATUS, signed), max_bytes=LIMITS.status)
    if (status.fleet, status.device_id) != (fleet, device_id):
        raise PeerError(Refusal.SIGNATURE, f"a status of {status.device_id} in {status.fleet}, on the topic of {device_id}")
    return status
