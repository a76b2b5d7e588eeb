"""The round record: what a round came to, signed by the orchestrator (PROTOCOL 5.5, 5.6)."""

from enum import StrEnum

from hushfleet.codec import Message, decode, encode
from hushfleet.documents.limits import MAX_RECORD_BYTES
from hushfleet.documents.validation import require_counts, require_hashes, require_ids
from hushfleet.labels import Label
from hushfleet.signing import Signed, SigningKey, VerifyKey


class Outcome(StrEnum):
    """How a round ended."""

    RELEASED = "released"
    ABORTED = "aborted"


class OptimizerSettings(Message, frozen=True):
    """The global optimiser by name and its settings, so that an auditor can repeat its step."""

    name: str
    settings: tuple[tuple[str, float], ...]


class RoundRecord(Message, frozen=True):
    """What was released, from whom, at what cost; or why nothing was.

    `rho_nano` is the cost of one participation in 10^-9 rho; `bytes_up` the sealed bytes received from the cohort;
    `duration_ms` from the plan to this record. An aborted round has equal model hashes, and an empty root
    if the committee was not asked. Raises `PeerError`: `ID_MALFORMED`, `MESSAGE_MALFORMED`.
    """

    fleet: str
    key_id: bytes
    round: int
    outcome: Outcome
    reason: str
    plan_hash: bytes
    root: bytes
    device_ids: tuple[str, ...]
    model_before: bytes
    model_after: bytes
    version_after: int
    optimizer: OptimizerSettings
    rho_nano: int
    bytes_up: int
    duration_ms: int

    def __post_init__(self) -> None:
        require_ids(self.fleet, *self.device_ids)
        require_hashes(self.key_id, self.plan_hash, self.model_before, self.model_after)
        if self.root or self.outcome is Outcome.RELEASED:
            require_hashes(self.root)
        require_counts(self.round, least=1)
        require_counts(self.version_after, self.rho_nano, self.bytes_up, self.duration_ms)


def sign_record(record: RoundRecord, orchestrator: SigningKey) -> Signed:
    """The orchestrator's signature over an encoded record."""
    return orchestrator.sign(Label.RECORD, encode(record))


def open_record(signed: Signed, orchestrator: VerifyKey) -> RoundRecord:
    """Verify, then decode. Raises `PeerError`."""
    return decode(RoundRecord, orchestrator.open(Label.RECORD, signed), max_bytes=MAX_RECORD_BYTES)
