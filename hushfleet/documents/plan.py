"""The plan: what the orchestrator asks of a round (PROTOCOL 5.1)."""

from dataclasses import dataclass, field

from hushfleet.codec import Message, decode, encode
from hushfleet.documents.journal import JournalHead
from hushfleet.documents.limits import MAX_PLAN_BYTES
from hushfleet.documents.tasks import Task
from hushfleet.documents.validation import require_counts, require_hashes, require_ids
from hushfleet.labels import Label, labelled_hash, length_prefixed, sha256
from hushfleet.signing import Signed, SigningKey, VerifyKey

SELECT_ALL = 65_536


class PrivacyPlan(Message, frozen=True):
    """The integers that privacy and decoding depend on (PROTOCOL 6).

    `b2`: bound on the squared norm of a rounded update; `variance`: parameter V of each device's noise N_Z(0, V),
    0 in a plan without privacy; `bound`: clamp B of each coordinate; `min_devices`, `max_devices`: the cohort's size, the paper's k_min
    and k_max; `slot_bits`: width w of a slot; `keep_one_in`: one coordinate in so many is sent after the rotation.
    Raises `PeerError(MESSAGE_MALFORMED)` for a negative one or one of 64 bits and more; `rounds.plan_check` judges the rest.
    """

    b2: int
    variance: int
    bound: int
    min_devices: int
    max_devices: int
    slot_bits: int
    keep_one_in: int

    def __post_init__(self) -> None:
        require_counts(*(getattr(self, name) for name in self.__struct_fields__))


class Plan(Message, frozen=True):
    """One round, for one key. `dimension` is d, the number of values that `task` asks of a device; `deadline_s` counts from arrival.

    A contribution leaves at a multiple of `sending_slot_s` after the plan arrived; `journal` is the orchestrator's (PROTOCOL 8).
    `selection` of 65,536 asks every device; of s, about s/65,536 of them (see `is_selected`).
    Rounds count from 1. Raises `PeerError`: `ID_MALFORMED`, `MESSAGE_MALFORMED`; `rounds.plan_check` judges the rest.
    """

    fleet: str
    key_id: bytes
    roster_serial: int
    roster_hash: bytes
    round: int
    task: Task
    scheme: str
    dimension: int
    privacy: PrivacyPlan
    clip_norm: float
    scale: float
    sending_slot_s: int
    journal: JournalHead
    selection: int
    deadline_s: int

    def __post_init__(self) -> None:
        require_ids(self.fleet)
        require_hashes(self.key_id, self.roster_hash)
        require_counts(self.round, self.roster_serial, least=1)


@dataclass(frozen=True, slots=True)
class VerifiedPlan:
    """A plan whose signature by the orchestrator was checked; its contents are still to be judged. From `open_plan` only."""

    plan: Plan
    signed: Signed = field(repr=False)
    digest: bytes = field(repr=False)


def sign_plan(plan: Plan, orchestrator: SigningKey) -> VerifiedPlan:
    """Sign a plan; the signer may hold it as verified."""
    signed = orchestrator.sign(Label.PLAN, encode(plan))
    return VerifiedPlan(plan, signed, sha256(signed.content))


def open_plan(signed: Signed, orchestrator: VerifyKey) -> VerifiedPlan:
    """Verify, then decode. `digest` is the plan hash: SHA-256 of the signed bytes. Raises `PeerError`."""
    content = orchestrator.open(Label.PLAN, signed)
    return VerifiedPlan(decode(Plan, content, max_bytes=MAX_PLAN_BYTES), signed, sha256(content))


def is_selected(plan: VerifiedPlan, device_id: str) -> bool:
    """True if the plan asks this device: load spreading only, nobody enforces it (PROTOCOL 5.1)."""
    draw = labelled_hash(Label.SELECTION, plan.digest, length_prefixed(device_id.encode()))
    return int.from_bytes(draw[:2], "big") < plan.plan.selection
