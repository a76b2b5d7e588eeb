"""Every message with fixed keys and values: plain bytes, hashes, one fixed sealed box of each kind, and twins that must be refused.

libsodium draws a fresh ephemeral key for every box, so that no implementation can be asked to make these; all must open them.
"""

from hushfleet.codec import encode
from hushfleet.documents import DecryptionRequest, cohort_root, sign_header, sign_plan
from hushfleet.labels import Label, sha256
from hushfleet.wire import (
    Answer,
    Body,
    Contribution,
    Evidence,
    SealedAnswer,
    answer_seal_context,
    contribution_seal_context,
)
from tests.support import documents as example
from tests.support.fixed_box import fixed_box, prefixed
from tests.support.twins import as_json, fields_of, flipped, misshapen, packed

ROUND, MEMBER = 3, "pi-02"
PLAN = sign_plan(example.plan(), example.orchestrator)


def build() -> dict[str, object]:
    bodies = [_signed_body(name) for name in ("pi-01", "pi-03", "pi-05")]
    cohort = [(name, sha256(body.content)) for name, body in zip(("pi-01", "pi-03", "pi-05"), bodies, strict=True)]
    root = cohort_root(PLAN.digest, cohort)
    header, other = (_header(one) for one in (root, cohort_root(PLAN.digest, cohort[:2])))
    answer = example.DEVICES[MEMBER][0].sign(Label.ANSWER, encode(_answer(root)))
    return {
        "orchestrator_public": example.orchestrator.verify_key.raw.hex(),
        "device_public": {name: example.DEVICES[name][0].verify_key.raw.hex() for name in example.NAMES},
        "sealing_secret": example.orchestrator_sealing.seed().hex(),
        "messages": {
            "body": _message(bodies[0].content),
            "contribution": _message(encode(Contribution(bodies[0], b"masked vector", (b"a sealed share", b"")))),
            "request": _message(encode(DecryptionRequest(header, PLAN.signed, tuple(bodies)))),
            "answer": _message(answer.content),
            "sealed_answer": _message(encode(SealedAnswer(answer))),
            "evidence": _message(encode(Evidence(header, other))),
            "chunk": _message(encode(example.chunk()), _chunks()),
            "status": _message(encode(example.status())),
        },
        "signatures": [
            {"label": Label.BODY.value, "signer": "pi-01", "content": bodies[0].content.hex(), "signature": bodies[0].signature.hex()},
            {"label": Label.ANSWER.value, "signer": MEMBER, "content": answer.content.hex(), "signature": answer.signature.hex()},
        ],
        "root": {
            "plan_hash": PLAN.digest.hex(),
            "cohort": [[name, digest.hex()] for name, digest in cohort],
            "root": root.hex(),
            "of_nobody": cohort_root(PLAN.digest, []).hex(),
        },
        "sealed": [
            _sealed(
                Label.SEAL_CONTRIBUTION, contribution_seal_context(example.KEY_ID, ROUND, "pi-01"), encode(Contribution(bodies[0], b"", ()))
            ),
            _sealed(Label.SEAL_ANSWER, answer_seal_context(example.KEY_ID, ROUND, 2), encode(SealedAnswer(answer))),
        ],
        "contexts": {
            "contribution": [_context(contribution_seal_context, number, name) for number, name in ((1, "a"), (2**63 - 1, "z" * 63))],
            "answer": [_context(answer_seal_context, number, index) for number, index in ((1, 1), (2**63 - 1, 10))],
        },
    }


def _signed_body(name):
    body = Body(PLAN.digest, name, sha256(b""), (f"first of {name}".encode(), b"\0" * 8), b"proof")
    return example.DEVICES[name][0].sign(Label.BODY, encode(body))


def _header(root):
    return sign_header(example.header(plan_hash=PLAN.digest, root=root, count=3), example.orchestrator)


def _answer(root):
    return Answer(example.KEY_ID, ROUND, PLAN.digest, root, 2, (b"first", b"second"), b"proof")


def _chunks():
    """Frames whose numbers do not belong together."""
    index, total, whole_bytes, whole_hash, data = fields_of(encode(example.chunk()))
    made = [
        ("after the last", [3, total, whole_bytes, whole_hash, data]),
        ("before the first", [-1, total, whole_bytes, whole_hash, data]),
        ("of none", [index, 0, whole_bytes, whole_hash, data]),
        ("of too many", [index, 4097, 4097, whole_hash, b"a"]),
        ("of nothing", [index, 1, 0, whole_hash, b""]),
        ("of a longer whole", [index, total, 10, whole_hash, data]),
        ("with the data of the last", [index, total, whole_bytes, whole_hash, b"a"]),
        ("of a cut that leaves the last empty", [index, total, 4, whole_hash, b"ab"]),
        ("with a short hash", [index, total, whole_bytes, whole_hash[:31], data]),
    ]
    return [(what, packed(fields), "message-malformed") for what, fields in made]


def _message(content, more=()):
    cases = [("untouched", content, None), *misshapen(content), *more]
    return {
        "fields": as_json(fields_of(content)),
        "hash": sha256(content).hex(),
        "cases": [{"what": what, "bytes": data.hex(), "refusal": refusal} for what, data, refusal in cases],
    }


def _sealed(label, context, content):
    public = example.orchestrator_sealing.public
    box = fixed_box(public, prefixed(label, context, content))
    cases = [
        ("untouched", box, None),
        ("first bit flipped", flipped(box, 0), "seal"),
        ("last bit flipped", flipped(box, -1), "seal"),
        ("a byte short", box[:-1], "seal"),
        ("a byte long", box + b"\0", "seal"),
        ("for another round", fixed_box(public, prefixed(label, flipped(context, 8 * 39), content)), "seal"),
        ("under another label", fixed_box(public, prefixed(Label.SEAL_SHARE, context, content)), "seal"),
        ("to a device", fixed_box(example.DEVICES["pi-01"][1].public, prefixed(label, context, content)), "seal"),
    ]
    return {
        "label": label.value,
        "context": context.hex(),
        "content": content.hex(),
        "cases": [{"what": what, "box": data.hex(), "refusal": refusal} for what, data, refusal in cases],
    }


def _context(make, number, last):
    return {"round": number, "last": last, "key_id": example.KEY_ID.hex(), "context": make(example.KEY_ID, number, last).hex()}
