"""The round record: what a round came to, signed by the orchestrator (PROTOCOL 5.5, 5.6)."""

from enum import StrEnum

from hushfleet.codec import Message, decode, encode
from hushfleet.documents.journal import JournalHead
from hushfleet.documents.limits import MAX_RECORD_BYTES
from hushfleet.documents.validation import require_counts, require_hashes, require_ids
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.signing import Signed, SigningKey, VerifyKey


class Outcome(StrEnum):
    """The ends that a round can have."""

    RELEASED = "released"
    ABORTED = "aborted"


class OptimizerSettings(Message, frozen=True):
    """The global optimiser by name and its settings, so that an auditor can repeat its step."""

    name: str
    settings: tuple[tuple[str, float], ...]


class ModelResult(Message, frozen=True, tag="model"):
    """A training's result: the model before and after, by the SHA-256 of its parameters, and the global optimiser's step between them.

    An aborted round has equal hashes. Raises `PeerError(MESSAGE_MALFORMED)`.
    """

    model_before: bytes
    model_after: bytes
    version_after: int
    optimizer: OptimizerSettings

    def __post_init__(self) -> None:
        require_hashes(self.model_before, self.model_after)
        require_counts(self.version_after)


class AnswerResult(Message, frozen=True, tag="answer"):
    """The fleet's answer to any other task: the released mean of its vector, in the task's order; empty in an aborted round."""

    values: tuple[float, ...]


class RoundRecord(Message, frozen=True):
    """The account of a round: what was released, from whom, at what cost; or why nothing was.

    `result` follows the plan's task; `rho_nano` is the cost of one participation in 10^-9 rho, 0 where nobody took part; `bytes_up` the
    sealed bytes received from the cohort; `duration_ms` from the plan to this record; `journal` is the orchestrator's (PROTOCOL 8). An
    aborted round has an empty root if the committee was not asked. Raises `PeerError`: `ID_MALFORMED`, `MESSAGE_MALFORMED`.
    """

    fleet: str
    key_id: bytes
    round: int
    outcome: Outcome
    reason: str
    plan_hash: bytes
    root: bytes
    device_ids: tuple[str, ...]
    result: ModelResult | AnswerResult
    rho_nano: int
    bytes_up: int
    duration_ms: int
    journal: JournalHead

    def __post_init__(self) -> None:
        require_ids(self.fleet, *self.device_ids)
        require_hashes(self.key_id, self.plan_hash)
        if self.root or self.outcome is Outcome.RELEASED:
            require_hashes(self.root)
        require_counts(self.round, least=1)
        require_counts(self.rho_nano, self.bytes_up, self.duration_ms)


def model_result(record: RoundRecord) -> ModelResult:
    """The result of a training round's record. `PeerError(PLAN_TASK)` for the record of another task."""
    if not isinstance(record.result, ModelResult):
        raise PeerError(Refusal.PLAN_TASK, f"round {record.round} answered a question and released no model")
    return record.result


def sign_record(record: RoundRecord, orchestrator: SigningKey) -> Signed:
    """The orchestrator's signature over an encoded record."""
    return orchestrator.sign(Label.RECORD, encode(record))


def open_record(signed: Signed, orchestrator: VerifyKey) -> RoundRecord:
    """Verify, then decode. Raises `PeerError`."""
    return decode(RoundRecord, orchestrator.open(Label.RECORD, signed), max_bytes=MAX_RECORD_BYTES)
