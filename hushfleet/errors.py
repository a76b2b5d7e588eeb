"""Every reason to refuse, and the errors that carry one.

Two trunks: `LocalError` (this side was misused or cannot go on) and `PeerError` (something received is wrong).
A `PeerError` says who is at fault and proves no more than its docstring states.
Details stay in the local log; a peer is told `reason` at most.
"""

from enum import StrEnum


class Refusal(StrEnum):
    """One identifier per refusal that the protocol names. Each is reached by a test."""

    # settings and other files that a person names
    CONFIG_INVALID = "config-invalid"
    FILE_KIND = "file-kind"
    FILE_TOO_LARGE = "file-too-large"
    FOLDER_UNSAFE = "folder-unsafe"

    # an agent's machine and state folder
    SYSTEM_UNSUPPORTED = "system-unsupported"
    STATE_IN_USE = "state-in-use"
    ALREADY_ENROLLED = "already-enrolled"

    # codec and signatures
    MESSAGE_MALFORMED = "message-malformed"
    MESSAGE_TOO_LARGE = "message-too-large"
    MESSAGE_VERSION = "message-version"
    SIGNATURE = "signature"
    SEAL = "seal"
    ID_MALFORMED = "id-malformed"

    # keys and shares (PROTOCOL 2, 3)
    KEY_MALFORMED = "key-malformed"
    KEY_TOO_SMALL = "key-too-small"
    COMMITTEE_SIZE = "committee-size"
    SHARE_INDEX = "share-index"
    SHARE_MISMATCH = "share-mismatch"
    SHARE_FOR_ANOTHER = "share-for-another"
    SHARE_MISSING = "share-missing"
    BUNDLE_FOR_ANOTHER = "bundle-for-another"
    LEDGER_MISSING = "ledger-missing"
    DECRYPTION_LOG_MISSING = "decryption-log-missing"

    # roster and policy (PROTOCOL 2)
    ROSTER_OLDER = "roster-older"
    ROSTER_CONFLICT = "roster-conflict"
    ROSTER_DUPLICATE = "roster-duplicate"
    ROSTER_INVALID = "roster-invalid"
    ROSTER_GROUP = "roster-group"
    SEALING_SUITE = "sealing-suite"
    POLICY_INVALID = "policy-invalid"
    NOT_ENROLLED = "not-enrolled"

    # plan (PROTOCOL 5.1, 5.2, 6)
    PLAN_HASH = "plan-hash"
    PLAN_FLEET = "plan-fleet"
    PLAN_KEY = "plan-key"
    PLAN_ROSTER = "plan-roster"
    PLAN_ROUND_REPEATED = "plan-round-repeated"
    PLAN_ROUND_STALE = "plan-round-stale"
    PLAN_TASK = "plan-task"
    PLAN_NORMALISER = "plan-normaliser"
    PLAN_ARCHITECTURE = "plan-architecture"
    PLAN_DIMENSION = "plan-dimension"
    PLAN_SCHEME = "plan-scheme"
    PLAN_COHORT_FLOOR = "plan-cohort-floor"
    PLAN_COHORT_ORDER = "plan-cohort-order"
    PLAN_COHORT_CEILING = "plan-cohort-ceiling"
    PLAN_HONEST_CONTRIBUTORS = "plan-honest-contributors"
    PLAN_VARIANCE = "plan-variance"
    PLAN_SENSITIVITY = "plan-sensitivity"
    PLAN_NOISE = "plan-noise"
    PLAN_SLOTS = "plan-slots"
    PLAN_CLIP_NORM = "plan-clip-norm"
    PLAN_SCALE = "plan-scale"
    PLAN_STEPS = "plan-steps"
    PLAN_BATCH_SIZE = "plan-batch-size"
    PLAN_LEARNING_RATE = "plan-learning-rate"
    PLAN_PROXIMAL = "plan-proximal"
    PLAN_SELECTION = "plan-selection"
    PLAN_DEADLINE = "plan-deadline"
    PLAN_SENDING_SLOT = "plan-sending-slot"
    PLAN_KEEP = "plan-keep"
    PLAN_WITHOUT_PRIVACY = "plan-without-privacy"
    PLAN_UNREACHABLE = "plan-unreachable"
    BUDGET_EXHAUSTED = "budget-exhausted"
    EQUIVOCATION = "equivocation"
    EVIDENCE = "evidence"

    # model bytes (PROTOCOL 6, what is checked of a plan)
    MODEL_HASH = "model-hash"
    MODEL_SHAPE = "model-shape"
    MODEL_NOT_FINITE = "model-not-finite"
    MODEL_TOO_LARGE = "model-too-large"
    MODEL_NAME = "model-name"
    MODEL_ABSENT = "model-absent"
    MODEL_NONE = "model-none"
    RECORD_FLEET = "record-fleet"
    RECORD_OLDER = "record-older"
    TRAINING_DISABLED = "training-disabled"
    ARCHITECTURE_INVALID = "architecture-invalid"

    # model files made trainable
    MODEL_UNSUPPORTED = "model-unsupported"
    MODEL_GRADIENT = "model-gradient"
    MODEL_DAMAGED = "model-damaged"

    # the device's own data
    DATA_SOURCE = "data-source"
    DATA_VALUE = "data-value"
    DATA_EMPTY = "data-empty"
    DATA_SHAPE = "data-shape"
    DATA_NOT_FINITE = "data-not-finite"
    DATA_LABEL = "data-label"
    SETTINGS_INVALID = "settings-invalid"
    TRAINING_FAILED = "training-failed"

    # the device's own update (PROTOCOL 6)
    UPDATE_SHAPE = "update-shape"
    UPDATE_NOT_FINITE = "update-not-finite"
    UPDATE_NORM = "update-norm"
    LEDGER_INVALID = "ledger-invalid"

    # encoding
    VALUE_OUT_OF_SLOT = "value-out-of-slot"
    SUM_REMAINDER = "sum-remainder"
    FIELD_ELEMENT = "field-element"

    # contributions (PROTOCOL 5.3)
    CONTRIBUTION_PLAN = "contribution-plan"
    CONTRIBUTION_SECOND = "contribution-second"
    CONTRIBUTION_LATE = "contribution-late"
    CIPHERTEXT_COUNT = "ciphertext-count"
    CIPHERTEXT_INVALID = "ciphertext-invalid"
    MASKED_VECTOR = "masked-vector"
    KNOWLEDGE_PROOF = "knowledge-proof"

    # decryption requests (PROTOCOL 5.4)
    REQUEST_ROOT = "request-root"
    REQUEST_PLAN = "request-plan"
    REQUEST_COUNT = "request-count"
    REQUEST_DUPLICATE = "request-duplicate"
    REQUEST_ORDER = "request-order"
    REQUEST_ROUND_LOWER = "request-round-lower"
    REQUEST_SECOND_ROOT = "request-second-root"

    # answers and release (PROTOCOL 3, 5.5)
    ANSWER_MEMBER = "answer-member"
    ANSWER_ROUND = "answer-round"
    PARTIAL_INVALID = "partial-invalid"
    PARTIAL_PROOF = "partial-proof"
    COMBINE_TOO_FEW = "combine-too-few"
    COMBINE_RESIDUE = "combine-residue"
    COMBINE_MISFIT = "combine-misfit"
    RELEASE_NORM = "release-norm"
    HOLDOUT_GATE = "holdout-gate"

    # the owner's vault
    VAULT_EXISTS = "vault-exists"
    VAULT_MISSING = "vault-missing"
    VAULT_DAMAGED = "vault-damaged"
    VAULT_PASSPHRASE = "vault-passphrase"  # noqa: S105 -- an identifier, not a passphrase
    COMMITTEE_MEMBER = "committee-member"
    CERTIFICATE_REQUEST = "certificate-request"

    # state machines and archives
    PHASE = "phase"
    STEP_FAILED = "step-failed"
    RECEIPT = "receipt"
    LINK_FORBIDDEN = "link-forbidden"
    LINK_AWAY = "link-away"
    LINK_CERTIFICATE = "link-certificate"
    RETAINED = "retained"
    TRANSFER_SLOTS = "transfer-slots"
    TRANSFER_HASH = "transfer-hash"
    ATTACK_NOT_REFUSED = "attack-not-refused"
    ARCHIVE = "archive"
    STORE_UNUSABLE = "store-unusable"

    # stores (PROTOCOL 8)
    DISK_FULL = "disk-full"
    DISK_READ_ONLY = "disk-read-only"
    STORE_DAMAGED = "store-damaged"
    STORE_ROLLED_BACK = "store-rolled-back"
    STORE_MOVED = "store-moved"

    # jobs
    JOB_UNFINISHED = "job-unfinished"
    JOB_CHANGED = "job-changed"
    JOB_UNKNOWN = "job-unknown"
    JOB_STALLED = "job-stalled"
    ROUND_UNKNOWN = "round-unknown"


class HushfleetError(Exception):
    """Base of all errors. `reason` is stable and may be shown to a peer; `next_step` tells a person what to do."""

    def __init__(self, reason: Refusal, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message} [{self.reason}]" + (f" {self.next_step}" if self.next_step else "")


class LocalError(HushfleetError):
    """This side was misused, misconfigured or is out of budget. Proves nothing about any peer."""


_OF_ONE_ROW = (Refusal.DATA_VALUE, Refusal.DATA_NOT_FINITE, Refusal.DATA_LABEL)


class DataError(LocalError):
    """The device's own training data are unusable. Its text says where and what was expected, never a value of the data.

    `what` is wrong at `row`, counted from 0 over all rows, or None; `line`, counted from 1, of the file `file`, in `column`;
    `expected` is the kind of value that belongs there. The message is put together from these.
    """

    def __init__(
        self,
        reason: Refusal,
        what: str,
        *,
        row: int | None = None,
        line: int | None = None,
        column: str = "",
        expected: str = "",
        file: str = "",
        next_step: str = "",
    ) -> None:
        place = f"line {line}" if line is not None else f"row {row}" if row is not None and reason in _OF_ONE_ROW else ""
        where = ", ".join(part for part in (file, place, f"column {column!r}" if column else "") if part)
        super().__init__(reason, f"{where}: {what}" if where else what, next_step=next_step)
        self.what, self.row, self.line, self.column, self.expected, self.file = what, row, line, column, expected, file

    def at(self, *, row: int | None = None, line: int | None = None, column: str = "", file: str = "") -> "DataError":
        """The same fault with the place that a caller knows better; without arguments, with no place at all."""
        place = {"row": row, "line": line, "column": column or self.column, "file": file or self.file}
        return DataError(self.reason, self.what, expected=self.expected, next_step=self.next_step, **place)  # type: ignore[arg-type]


class PhaseError(LocalError):
    """An event that the present state does not allow. The state is as it was."""

    def __init__(self, message: str) -> None:
        super().__init__(Refusal.PHASE, message)


class BudgetError(LocalError):
    """The privacy budget does not cover one more participation."""


class PeerError(HushfleetError):
    """Something received is wrong; nothing says who made it."""


class FaultyDevice(PeerError):
    """A contribution signed or claimed by `device` is wrong. Proves fault only if its signature was verified."""

    def __init__(self, reason: Refusal, device: str, message: str) -> None:
        super().__init__(reason, f"{device}: {message}")
        self.device = device


class FaultyMember(PeerError):
    """An answer signed by the committee member `index` (from 1) is wrong."""

    def __init__(self, reason: Refusal, index: int, message: str) -> None:
        super().__init__(reason, f"committee member {index}: {message}")
        self.index = index


class FaultyOrchestrator(PeerError):
    """A plan, request, model or receipt of the orchestrator is wrong."""


class FaultyOwner(PeerError):
    """A document signed (or claimed to be signed) by the root key is wrong."""
