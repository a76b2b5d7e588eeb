import hashlib
import json
from pathlib import Path

import pytest

from hushfleet.codec import decode, encode
from hushfleet.documents import DecryptionRequest, cohort_root, open_header
from hushfleet.encryption import SealingKey, unseal
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.signing import VerifyKey
from hushfleet.wire import (
    Answer,
    Body,
    Contribution,
    DeviceStatus,
    Evidence,
    SealedAnswer,
    answer_seal_context,
    contribution_seal_context,
    decode_decryption_request,
)
from hushfleet.wire.chunks import Chunk
from tests.support.refusals import refused
from tests.support.twins import from_json, packed

VECTORS = json.loads(Path(__file__).with_name("messages.json").read_text())
KINDS = {
    "body": Body,
    "contribution": Contribution,
    "request": DecryptionRequest,
    "answer": Answer,
    "sealed_answer": SealedAnswer,
    "evidence": Evidence,
    "status": DeviceStatus,
    "chunk": Chunk,
}
CASES = [(kind, case) for kind, vector in VECTORS["messages"].items() for case in vector["cases"]]
BOXES = [(vector, case) for vector in VECTORS["sealed"] for case in vector["cases"]]
ORCHESTRATOR = VerifyKey(bytes.fromhex(VECTORS["orchestrator_public"]))


def untouched(kind):
    return bytes.fromhex(VECTORS["messages"][kind]["cases"][0]["bytes"])


def test_every_message_is_here():
    assert VECTORS["messages"].keys() == KINDS.keys()


@pytest.mark.parametrize(("kind", "case"), CASES, ids=[f"{kind}: {case['what']}" for kind, case in CASES])
def test_decoding(kind, case):
    data = bytes.fromhex(case["bytes"])
    if case["refusal"] is None:
        assert encode(decode(KINDS[kind], data, max_bytes=10_000)) == data
        assert packed(from_json(VECTORS["messages"][kind]["fields"])) == data
        assert hashlib.sha256(data).hexdigest() == VECTORS["messages"][kind]["hash"]
        return
    with refused(Refusal(case["refusal"]), PeerError):
        decode(KINDS[kind], data, max_bytes=10_000)


@pytest.mark.parametrize("case", VECTORS["signatures"], ids=lambda case: case["label"])
def test_signatures(case):
    content, signature = bytes.fromhex(case["content"]), bytes.fromhex(case["signature"])
    for signer, public in VECTORS["device_public"].items():
        key = VerifyKey(bytes.fromhex(public))
        if signer == case["signer"]:
            key.verify(Label(case["label"]), content, signature)
            continue
        with refused(Refusal.SIGNATURE, PeerError):
            key.verify(Label(case["label"]), content, signature)


def test_root():
    vector = VECTORS["root"]
    plan_hash, cohort = bytes.fromhex(vector["plan_hash"]), [(name, bytes.fromhex(digest)) for name, digest in vector["cohort"]]
    assert cohort_root(plan_hash, cohort).hex() == vector["root"]
    assert cohort_root(plan_hash, []).hex() == vector["of_nobody"]


def test_the_request_holds_what_its_header_commits_to():
    request = decode_decryption_request(untouched("request"))
    header = open_header(request.header, ORCHESTRATOR)
    leaves = [(decode(Body, signed.content, max_bytes=1000).device_id, sha256(signed.content)) for signed in request.bodies]
    assert header.root == cohort_root(header.plan_hash, leaves) == bytes.fromhex(VECTORS["root"]["root"])
    assert header.plan_hash == sha256(request.plan.content)
    assert header.count == len(request.bodies)


def test_the_evidence_holds_two_headers_for_one_round():
    evidence = decode(Evidence, untouched("evidence"), max_bytes=1000)
    first, second = (open_header(signed, ORCHESTRATOR) for signed in (evidence.first, evidence.second))
    assert (first.key_id, first.round) == (second.key_id, second.round)
    assert first.root != second.root


@pytest.mark.parametrize(("vector", "case"), BOXES, ids=[f"{vector['label']}: {case['what']}" for vector, case in BOXES])
def test_sealed(vector, case):
    key, label, context = SealingKey(bytes.fromhex(VECTORS["sealing_secret"])), Label(vector["label"]), bytes.fromhex(vector["context"])
    if case["refusal"] is None:
        assert unseal(key, label, context, bytes.fromhex(case["box"])).hex() == vector["content"]
        return
    with refused(Refusal(case["refusal"]), PeerError):
        unseal(key, label, context, bytes.fromhex(case["box"]))


@pytest.mark.parametrize(("kind", "make"), [("contribution", contribution_seal_context), ("answer", answer_seal_context)])
def test_contexts(kind, make):
    for case in VECTORS["contexts"][kind]:
        assert make(bytes.fromhex(case["key_id"]), case["round"], case["last"]).hex() == case["context"]
