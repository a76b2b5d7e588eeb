"""A small fleet on paper: valid documents and messages with fixed keys, each changed field by field at will.

`owner` signs rosters, `orchestrator` plans, headers, receipts and records; `DEVICES` maps four committee members and one more.
"""

from hushfleet.documents import (
    Broker,
    Bundle,
    DeviceEntry,
    EnrolledRole,
    EnrolmentRequest,
    Header,
    JournalHead,
    KeyShareGrant,
    LocalTraining,
    ModelResult,
    NamedHash,
    OptimizerSettings,
    Outcome,
    Plan,
    Policy,
    PrivacyPlan,
    Receipt,
    ReceiptStatus,
    Roster,
    RoundRecord,
    TrainTask,
    open_roster,
    sign_roster,
)
from hushfleet.encryption.sealing import SealingKey
from hushfleet.errors import Refusal
from hushfleet.labels import sha256
from hushfleet.randomness import SeededRandomness
from hushfleet.signing import SigningKey
from hushfleet.wire import Answer, Body, DeviceStatus, Presence, Readiness
from hushfleet.wire.chunks import Chunk

FLEET = "greenhouse"
COMMITTEE = ("pi-01", "pi-02", "pi-03", "pi-04")
NAMES = (*COMMITTEE, "pi-05")


def _fixed(what: str) -> bytes:
    return SeededRandomness(f"documents/{what}".encode()).octets(32)


owner = SigningKey(_fixed("owner"))
orchestrator = SigningKey(_fixed("orchestrator"))
orchestrator_sealing = SealingKey(_fixed("orchestrator sealing"))
DEVICES = {name: (SigningKey(_fixed(name)), SealingKey(_fixed(f"{name} sealing"))) for name in NAMES}
ARCHITECTURE = sha256(b"architecture")
PARAMETERS = sha256(b"parameters")
PLAN_HASH = sha256(b"plan")
KEY_ID = sha256(b"key id")
ROOT = sha256(b"root")
MODEL = "softmax:64x10"
JOURNAL = JournalHead(5, sha256(b"journal"))


def entry(name: str) -> DeviceEntry:
    signing, sealing = DEVICES[name]
    return DeviceEntry.make(name, signing.verify_key.raw, sealing.public.raw)


def policy(**changes: object):
    return Policy.make(**{"min_devices": 4, "max_devices": 100, "models": (NamedHash(MODEL, ARCHITECTURE),), **changes})


def roster(**changes: object):
    fields = {
        "fleet": FLEET,
        "serial": 7,
        "key_epoch": 2,
        "orchestrator_verify_key": orchestrator.verify_key.raw,
        "orchestrator_sealing_key": orchestrator_sealing.public.raw,
        "orchestrator_sealing_suite": 1,
        "devices": tuple(entry(name) for name in NAMES),
        "committee": COMMITTEE,
        "f": 1,
        "paillier": b"the public part",
        "policy": policy(),
    }
    return Roster(**{**fields, **changes})


def verified_roster(**changes: object):
    return open_roster(sign_roster(roster(**changes), owner), owner.verify_key)


def local_training(**changes: object):
    return LocalTraining.make(**{"local_steps": 6, "batch_size": 16, "learning_rate": 1.0, **changes})


def train_task(**changes: object):
    fields = {
        "model": MODEL,
        "architecture_hash": ARCHITECTURE,
        "model_version": 2,
        "parameter_hash": PARAMETERS,
        "training": local_training(),
        "normaliser_hash": b"",
    }
    return TrainTask(**{**fields, **changes})


def model_result(**changes: object):
    fields = {
        "model_before": PARAMETERS,
        "model_after": sha256(b"after"),
        "version_after": 3,
        "optimizer": OptimizerSettings("fedavgm", (("momentum", 0.8), ("learning_rate", 1.0))),
    }
    return ModelResult(**{**fields, **changes})


def plan(**changes: object):
    """`changes` replace fields of the plan or of its task."""
    inner = {name: changes.pop(name) for name in TrainTask.__struct_fields__ if name in changes}
    fields = {
        "fleet": FLEET,
        "key_id": KEY_ID,
        "roster_serial": 7,
        "roster_hash": sha256(b"roster"),
        "round": 3,
        "task": train_task(**inner),
        "scheme": "paillier",
        "dimension": 650,
        "privacy": PrivacyPlan(b2=9195, variance=9000, bound=71, min_devices=40, max_devices=50, slot_bits=20, keep_one_in=1),
        "clip_norm": 1.0,
        "scale": 92.865,
        "sending_slot_s": 10,
        "journal": JOURNAL,
        "selection": 65_536,
        "deadline_s": 600,
    }
    return Plan(**{**fields, **changes})


def header(**changes: object):
    fields = {"fleet": FLEET, "key_id": KEY_ID, "round": 3, "plan_hash": PLAN_HASH, "root": ROOT, "count": 2}
    return Header(**{**fields, **changes})


def grant(**changes: object):
    fields = {"fleet": FLEET, "key_id": KEY_ID, "member_id": "pi-02", "index": 2, "share": b"secret share"}
    return KeyShareGrant(**{**fields, **changes})


def receipt(**changes: object):
    fields = {
        "fleet": FLEET,
        "device_id": "pi-01",
        "key_id": KEY_ID,
        "round": 3,
        "whole_hash": sha256(b"sealed"),
        "status": ReceiptStatus.HELD,
        "missing": ((0, 2), (5, 6)),
        "reason": "",
    }
    return Receipt(**{**fields, **changes})


def record(**changes: object):
    """`changes` replace fields of the record or of its result."""
    inner = {name: changes.pop(name) for name in ModelResult.__struct_fields__ if name in changes}
    fields = {
        "fleet": FLEET,
        "key_id": KEY_ID,
        "round": 3,
        "outcome": Outcome.RELEASED,
        "reason": "",
        "plan_hash": PLAN_HASH,
        "root": ROOT,
        "device_ids": ("pi-01", "pi-02"),
        "result": model_result(**inner),
        "rho_nano": 12_345,
        "bytes_up": 2048,
        "duration_ms": 1500,
        "journal": JOURNAL,
    }
    return RoundRecord(**{**fields, **changes})


def body(**changes: object):
    fields = {
        "plan_hash": PLAN_HASH,
        "device_id": "pi-01",
        "masked_hash": sha256(b""),
        "items": (b"first", b"second"),
        "proof": b"proof",
    }
    return Body(**{**fields, **changes})


def answer(**changes: object):
    fields = {
        "key_id": KEY_ID,
        "round": 3,
        "plan_hash": PLAN_HASH,
        "root": ROOT,
        "index": 2,
        "items": (b"first", b"second"),
        "proof": b"proof",
    }
    return Answer(**{**fields, **changes})


def enrolment(**changes: object):
    """What pi-05 sends to the owner."""
    signing, sealing = DEVICES["pi-05"]
    fields = {
        "role": EnrolledRole.DEVICE,
        "device_id": "pi-05",
        "verify_key": signing.verify_key.raw,
        "sealing_key": sealing.public.raw,
        "sealing_suite": 1,
        "certificate_request": b"-----BEGIN CERTIFICATE REQUEST-----",
    }
    return EnrolmentRequest(**{**fields, **changes})


def bundle(**changes: object):
    """What the owner gives back to pi-05."""
    fields = {
        "fleet": FLEET,
        "role": EnrolledRole.DEVICE,
        "device_id": "pi-05",
        "roster": sign_roster(roster(), owner),
        "grant": b"",
        "broker": Broker("broker.lan", 8883),
        "ca_certificate": b"the authority",
        "certificate": b"the device",
    }
    return Bundle(**{**fields, **changes})


def status(**changes: object):
    """What pi-01 says of itself."""
    fields = {
        "fleet": FLEET,
        "device_id": "pi-01",
        "presence": Presence.WORKING,
        "round": 3,
        "software": "1.2.3",
        "boot_id": bytes(range(16)),
        "journal": JOURNAL,
        "readiness": Readiness(Refusal.BUDGET_EXHAUSTED, 125_000_000, 20_500, "north bench"),
    }
    return DeviceStatus(**{**fields, **changes})


def chunk(**changes: object):
    """The first of three chunks of seven bytes."""
    fields = {"index": 0, "total": 3, "whole_bytes": 7, "whole_hash": sha256(b"abcabca"), "data": b"abc"}
    return Chunk(**{**fields, **changes})
