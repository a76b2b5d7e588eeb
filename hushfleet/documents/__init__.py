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
from hushfleet.documents.grant import KeyShareGrant, SignedGrant, open_grant, sign_grant
from hushfleet.documents.plan import Plan, PrivacyPlan, TrainingPlan, VerifiedPlan, is_selected, open_plan, sign_plan
from hushfleet.documents.policy import Policy
from hushfleet.documents.receipt import Receipt, ReceiptStatus, open_receipt, sign_receipt
from hushfleet.documents.record import OptimizerSettings, Outcome, RoundRecord, open_record, sign_record
from hushfleet.documents.roster import DeviceEntry, Roster, VerifiedRoster, newer_roster, open_roster, sign_roster

__all__ = [
    "Broker",
    "Bundle",
    "DecryptionRequest",
    "DeviceEntry",
    "EnrolledRole",
    "EnrolmentRequest",
    "Header",
    "KeyShareGrant",
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
    "TrainingPlan",
    "VerifiedPlan",
    "VerifiedRoster",
    "cohort_root",
    "fingerprint",
    "is_selected",
    "newer_roster",
    "open_bundle",
    "open_enrolment_request",
    "open_grant",
    "open_header",
    "open_plan",
    "open_receipt",
    "open_record",
    "open_roster",
    "sign_bundle",
    "sign_enrolment_request",
    "sign_grant",
    "sign_header",
    "sign_plan",
    "sign_receipt",
    "sign_record",
    "sign_roster",
]
