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
MAX_SHOWN = 80
"""Characters of the line that an owner lets everybody see."""
_MAX_SOFTWARE = 40
_MAX_DAYS = 1_000_000

STAYS_OUT = frozenset(
    one
    for one in Refusal
    if one.value.startswith("plan-") and one not in {Refusal.PLAN_ROUND_REPEATED, Refusal.PLAN_ROUND_STALE, Refusal.PLAN_UNREACHABLE}
) | {
    Refusal.BUDGET_EXHAUSTED,
    Refusal.DISK_FULL,
    Refusal.DISK_READ_ONLY,
    Refusal.EQUIVOCATION,
    Refusal.MODEL_ABSENT,
    Refusal.MODEL_NOT_FINITE,
    Refusal.MODEL_SHAPE,
    Refusal.MODEL_TOO_LARGE,
    Refusal.NOT_ENROLLED,
    Refusal.ROSTER_OLDER,
    Refusal.STORE_ROLLED_BACK,
    Refusal.TRAINING_DISABLED,
}
"""The reasons that a device may give for staying out of a round: each follows from the plan, what was signed before it, the ledger and
the installation. No reason that could follow from data is among them."""


class Presence(StrEnum):
    """The work that a device is at, as far as everybody may know."""

    OFFLINE = "offline"
    IDLE = "idle"
    WORKING = "working"
    """From an accepted plan to the finished contribution: also when there is nothing to train on."""
    SENT = "sent"
    """Its contribution waits for the receipt."""


def _require_line(text: str, most: int) -> None:
    if not (len(text) <= most and text.isascii() and text.isprintable()):
        raise PeerError(Refusal.MESSAGE_MALFORMED, f"expected one line of at most {most} plain characters")


class Readiness(Message, frozen=True):
    """The part that a device can take in rounds, and the rest of its budget.

    `out` is the reason why it stays out of the round it last saw, None if it does not; `left_nano` the rest of its budget in 10^-9 rho,
    None where that is not known; `certificate_day` the day, from 1970-01-01, on which its certificate ends, 0 if unknown; `shown` one
    line that its owner wrote for everybody, empty by default. Raises `PeerError(MESSAGE_MALFORMED)`.
    """

    out: Refusal | None
    left_nano: int | None
    certificate_day: int
    shown: str

    def __post_init__(self) -> None:
        if self.out is not None and self.out not in STAYS_OUT:
            raise PeerError(Refusal.MESSAGE_MALFORMED, f"no reason that a device may give for staying out: {self.out}")
        require_counts(*(() if self.left_nano is None else (self.left_nano,)))
        require_counts(self.certificate_day, most=_MAX_DAYS)
        _require_line(self.shown, MAX_SHOWN)


NOTHING_KNOWN = Readiness(None, None, 0, "")
"""The readiness of a device that knows neither its fleet nor its certificate."""


class DeviceStatus(Message, frozen=True):
    """The status that a device tells, retained; the last will is an `offline` that it signed when it started.

    Holds nothing that depends on data, `readiness` included. `round` is the last round seen (0: none), `software` the version it runs,
    `boot_id` 16 bytes drawn when its process started, `journal` the head of its journal. A broker can play an old one again: nothing
    that grants anything may rest on it. Raises `PeerError`: `ID_MALFORMED`, `MESSAGE_MALFORMED`.
    """

    fleet: str
    device_id: str
    presence: Presence
    round: int
    software: str
    boot_id: bytes
    journal: JournalHead
    readiness: Readiness

    def __post_init__(self) -> None:
        require_ids(self.fleet, self.device_id)
        require_counts(self.round)
        _require_line(self.software, _MAX_SOFTWARE)
        if len(self.boot_id) != BOOT_ID_BYTES:
            raise PeerError(Refusal.MESSAGE_MALFORMED, f"a boot id has {BOOT_ID_BYTES} bytes, not {len(self.boot_id)}")


def new_boot_id(randomness: Randomness) -> bytes:
    """The boot id of a process that starts: fresh, never kept."""
    return randomness.octets(BOOT_ID_BYTES)


def sign_status(status: DeviceStatus, device: SigningKey) -> bytes:
    """The status as a device publishes it, under its own key."""
    return encode(device.sign(Label.STATUS, encode(status)))


def status_in(evidence: bytes) -> DeviceStatus | None:
    """The status that was verified before it was kept as evidence; None for evidence of another kind."""
    try:
        return decode(DeviceStatus, decode(Signed, evidence, max_bytes=LIMITS.status).content, max_bytes=LIMITS.status)
    except PeerError:
        return None


def open_status(data: bytes, device: VerifyKey, *, fleet: str, device_id: str) -> DeviceStatus:
    """Verify with the key that the roster holds for `device_id`, then decode.

    Raises `PeerError`: as `decode`; `SIGNATURE` also where it names another device or fleet.
    """
    signed = decode(Signed, data, max_bytes=LIMITS.status)
    status = decode(DeviceStatus, device.open(Label.STATUS, signed), max_bytes=LIMITS.status)
    if (status.fleet, status.device_id) != (fleet, device_id):
        raise PeerError(Refusal.SIGNATURE, f"a status of {status.device_id} in {status.fleet}, on the topic of {device_id}")
    return status
