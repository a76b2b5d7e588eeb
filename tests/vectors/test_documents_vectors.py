import hashlib
import json
from pathlib import Path

import pytest

from hushfleet.codec import decode, encode
from hushfleet.documents import (
    Bundle,
    EnrolmentRequest,
    Header,
    KeyShareGrant,
    Plan,
    Receipt,
    Roster,
    RoundRecord,
    fingerprint,
    is_selected,
    open_bundle,
    open_enrolment_request,
    open_grant,
    open_header,
    open_plan,
    open_receipt,
    open_record,
    open_roster,
)
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.signing import SigningKey, VerifyKey
from hushfleet.wire import decode_signed
from tests.support.refusals import refused
from tests.support.twins import from_json, packed

VECTORS = json.loads(Path(__file__).with_name("documents.json").read_text())
KEYS = {name: VerifyKey(bytes.fromhex(VECTORS["keys"][name]["public"])) for name in VECTORS["keys"]}
GRANTED = from_json(VECTORS["documents"]["grant"]["fields"])
ENROLLED = from_json(VECTORS["documents"]["enrolment"]["fields"])
BUNDLE_KEYS = (KEYS["pi-05"], ENROLLED[3])
OPENERS = {
    "roster": lambda wire: open_roster(decode_signed(wire), KEYS["owner"]).roster,
    "grant": lambda wire: open_grant(wire, KEYS["owner"], key_id=GRANTED[1], member_id=GRANTED[2]),
    "plan": lambda wire: open_plan(decode_signed(wire), KEYS["orchestrator"]).plan,
    "header": lambda wire: open_header(decode_signed(wire), KEYS["orchestrator"]),
    "receipt": lambda wire: open_receipt(decode_signed(wire), KEYS["orchestrator"]),
    "record": lambda wire: open_record(decode_signed(wire), KEYS["orchestrator"]),
    "enrolment": lambda wire: open_enrolment_request(decode_signed(wire)),
    "bundle": lambda wire: open_bundle(wire, root=KEYS["owner"], device_id="pi-05", keys=BUNDLE_KEYS)[1],
}
KINDS = {
    "roster": Roster,
    "grant": KeyShareGrant,
    "plan": Plan,
    "header": Header,
    "receipt": Receipt,
    "record": RoundRecord,
    "enrolment": EnrolmentRequest,
    "bundle": Bundle,
}
SIGNERS = {"roster": "owner", "grant": "owner", "bundle": "owner", "enrolment": "pi-05"}
"""Everything else the orchestrator signs."""
CASES = [(kind, case) for kind, vector in VECTORS["documents"].items() for case in vector["cases"]]


def test_every_document_is_here():
    assert VECTORS["documents"].keys() == OPENERS.keys() == KINDS.keys()


@pytest.mark.parametrize("name", VECTORS["keys"])
def test_keys(name):
    assert SigningKey(bytes.fromhex(VECTORS["keys"][name]["secret"])).verify_key == KEYS[name]


@pytest.mark.parametrize("kind", KINDS)
def test_content(kind):
    vector = VECTORS["documents"][kind]
    content = bytes.fromhex(vector["content"])
    assert packed(from_json(vector["fields"])) == content
    assert hashlib.sha256(content).hexdigest() == vector["hash"]
    assert encode(decode(KINDS[kind], content, max_bytes=len(content))) == content


@pytest.mark.parametrize("kind", KINDS)
def test_signatures(kind):
    vector = VECTORS["documents"][kind]
    key = SigningKey(bytes.fromhex(VECTORS["keys"][SIGNERS.get(kind, "orchestrator")]["secret"]))
    assert key.sign(Label(vector["label"]), bytes.fromhex(vector["content"])).signature.hex() == vector["signature"]


@pytest.mark.parametrize(("kind", "case"), CASES, ids=[f"{kind}: {case['what']}" for kind, case in CASES])
def test_opening(kind, case):
    wire = bytes.fromhex(case["wire"])
    if case["refusal"] is None:
        assert encode(OPENERS[kind](wire)).hex() == VECTORS["documents"][kind]["content"]
        return
    with refused(Refusal(case["refusal"]), PeerError):
        OPENERS[kind](wire)


def test_key_id():
    wire = bytes.fromhex(VECTORS["documents"]["roster"]["cases"][0]["wire"])
    assert open_roster(decode_signed(wire), KEYS["owner"]).key_id.hex() == VECTORS["key_id"]


@pytest.mark.parametrize("case", VECTORS["selection"], ids=lambda case: str(case["selection"]))
def test_selection(case):
    plan = open_plan(decode_signed(bytes.fromhex(case["wire"])), KEYS["orchestrator"])
    assert (plan.digest.hex(), plan.plan.selection) == (case["plan_hash"], case["selection"])
    assert {name: is_selected(plan, name) for name in case["selected"]} == case["selected"]


@pytest.mark.parametrize("case", VECTORS["fingerprints"], ids=lambda case: case["fingerprint"])
def test_fingerprints(case):
    assert fingerprint(bytes.fromhex(case["data"])) == case["fingerprint"]
