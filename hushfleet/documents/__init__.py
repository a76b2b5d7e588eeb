"""The documents that the owner and the orchestrator sign: policy, roster, key shares, plan, decryption request, receipt, round record.

Each document has a struct (what it says), and where a signature matters a second type that only its `open_*` function
makes: holding a `VerifiedRoster` or a `VerifiedPlan` means that the signature was checked.
May import the ground floor only.
"""

from hushfleet.documents.decryption_request import DecryptionRequest, Header, cohort_root, open_header, sign_header
from hushfleet.documents.enrolment import (
    Broker,
    Bundle,
    EnrolledRole,
    EnrolmentRequest,
    fingerprint,
    open_bundle,
    open_enrolment_request,
    sign_bundle,
    sign_enrolment_request,
)
from hushfleet.documents.grant import NO_SHARE, GrantedShare, KeyShareGrant, SignedGrant, open_grant, sign_grant
from hushfleet.documents.journal import EMPTY_JOURNAL, JournalHead
from hushfleet.documents.local_training import LOCAL_OPTIMIZERS, LocalTraining
from hushfleet.documents.plan import Plan, PrivacyPlan, VerifiedPlan, is_selected, open_plan, sign_plan
from hushfleet.documents.policy import NamedHash, Policy
from hushfleet.documents.receipt import Receipt, ReceiptStatus, open_receipt, sign_receipt
from hushfleet.documents.record import (
    AnswerResult,
    ModelResult,
    OptimizerSettings,
    Outcome,
    RoundRecord,
    model_result,
    open_record,
    sign_record,
)
from hushfleet.documents.roster import DeviceEntry, Roster, VerifiedRoster, newer_roster, open_roster, sign_roster
from hushfleet.documents.tasks import NO_NORMALISER, EvaluateTask, MeasureTask, Task, TrainTask, require_train, task_name

__all__ = [
    "EMPTY_JOURNAL",
    "LOCAL_OPTIMIZERS",
    "NO_NORMALISER",
    "NO_SHARE",
    "AnswerResult",
    "Broker",
    "Bundle",
    "DecryptionRequest",
    "DeviceEntry",
    "EnrolledRole",
    "EnrolmentRequest",
    "EvaluateTask",
    "GrantedShare",
    "Header",
    "JournalHead",
    "KeyShareGrant",
    "LocalTraining",
    "MeasureTask",
    "ModelResult",
    "NamedHash",
    "OptimizerSettings",
    "Outcome",
    "Plan",
    "Policy",
    "PrivacyPlan",
    "Receipt",
    "ReceiptStatus",
    "Roster",
    "RoundRecord",
    "SignedGrant",
    "Task",
    "TrainTask",
    "VerifiedPlan",
    "VerifiedRoster",
    "cohort_root",
    "fingerprint",
    "is_selected",
    "model_result",
    "newer_roster",
    "open_bundle",
    "open_enrolment_request",
    "open_grant",
    "open_header",
    "open_plan",
    "open_receipt",
    "open_record",
    "open_roster",
    "require_train",
    "sign_bundle",
    "sign_enrolment_request",
    "sign_grant",
    "sign_header",
    "sign_plan",
    "sign_receipt",
    "sign_record",
    "sign_roster",
    "task_name",
]
