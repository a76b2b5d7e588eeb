"""Every signed document with fixed keys and values, and twins of it that must be refused.

`wire` is the signed document as it travels, `content` what is signed, `fields` the plain array in it (bytes as `hex:...`).
"""

from hushfleet.codec import encode
from hushfleet.documents import EnrolledRole, SignedGrant, is_selected, open_plan, sign_plan, sign_roster
from hushfleet.documents.enrolment import BundleFile, fingerprint
from hushfleet.labels import Label, sha256
from hushfleet.signing import Signed
from tests.support import documents as example
from tests.support.twins import as_json, fields_of, flipped, misshapen

NAMES = (*example.NAMES, "a", "z" * 63)


def build() -> dict[str, object]:
    return {
        "keys": {
            "owner": _key(example.owner),
            "orchestrator": _key(example.orchestrator),
            "pi-05": _key(example.DEVICES["pi-05"][0]),
        },
        "documents": {
            "roster": _document(example.roster(), Label.ROSTER, example.owner),
            "grant": _document(example.grant(), Label.KEY_SHARE, example.owner, SignedGrant),
            "plan": _document(example.plan(), Label.PLAN, example.orchestrator),
            "header": _document(example.header(), Label.HEADER, example.orchestrator),
            "receipt": _document(example.receipt(), Label.RECEIPT, example.orchestrator),
            "record": _document(example.record(), Label.RECORD, example.orchestrator),
            # The key that verifies a request stands in it: what does not decode has no signature to be wrong.
            "enrolment": _document(example.enrolment(), Label.ENROLMENT, example.DEVICES["pi-05"][0], damaged="message-malformed"),
            "bundle": _document(example.bundle(), Label.BUNDLE, example.owner, _in_file(example.owner), more=_bundles()),
        },
        "fingerprints": [{"data": data.hex(), "fingerprint": fingerprint(data)} for data in (b"", b"hushfleet", bytes(32))],
        "key_id": example.verified_roster().key_id.hex(),
        "selection": [_selection(selection) for selection in (0, 1, 20_000, 32_768, 65_535, 65_536)],
    }


def _key(key):
    return {"secret": key.seed().hex(), "public": key.verify_key.raw.hex()}


def _in_file(root):
    return lambda signed: BundleFile(root.verify_key.raw, signed)


def _bundles():
    """Bundles that the owner signed, and yet not for this device; and one that another root signed, which pi-05 has not pinned."""
    revoked = example.roster(devices=tuple(example.entry(name) for name in example.COMMITTEE))
    changes = [
        ("for another device", {"device_id": "pi-01"}, "bundle-for-another"),
        ("of another fleet", {"fleet": "orchard"}, "bundle-for-another"),
        ("for the orchestrator", {"role": EnrolledRole.ORCHESTRATOR}, "bundle-for-another"),
        ("with a roster of another owner", {"roster": sign_roster(example.roster(), example.orchestrator)}, "signature"),
        ("with a roster without the device", {"roster": sign_roster(revoked, example.owner)}, "not-enrolled"),
    ]
    made = [(what, encode(example.bundle(**fields)), example.owner, refusal) for what, fields, refusal in changes]
    made.append(("by another root", encode(example.bundle()), example.orchestrator, "signature"))
    return [(what, encode(_in_file(root)(root.sign(Label.BUNDLE, content))), refusal) for what, content, root, refusal in made]


def _document(document, label, signer, wrap=lambda signed: signed, *, damaged="signature", more=()):
    signed = signer.sign(label, encode(document))
    wire, content, signature = encode(wrap(signed)), signed.content, signed.signature
    other_label = Label.COMPLAINT
    cases = [
        ("untouched", wire, None),
        ("first bit of the content flipped", encode(wrap(Signed(flipped(content, 0), signature))), damaged),
        ("last bit of the content flipped", encode(wrap(Signed(flipped(content, -1), signature))), "signature"),
        ("first bit of the signature flipped", encode(wrap(Signed(content, flipped(signature, 0)))), "signature"),
        ("last bit of the signature flipped", encode(wrap(Signed(content, flipped(signature, -1)))), "signature"),
        ("content a byte short", encode(wrap(Signed(content[:-1], signature))), damaged),
        ("content a byte long", encode(wrap(Signed(content + b"\0", signature))), damaged),
        ("signature a byte short", encode(wrap(Signed(content, signature[:-1]))), "signature"),
        ("signature a byte long", encode(wrap(Signed(content, signature + b"\0"))), "signature"),
        ("no signature", encode(wrap(Signed(content, b""))), "signature"),
        ("signed under another label", encode(wrap(signer.sign(other_label, content))), "signature"),
        ("signed by another key", encode(wrap(example.DEVICES["pi-01"][0].sign(label, content))), "signature"),
        *((f"signed, {what}", encode(wrap(signer.sign(label, twin))), refusal) for what, twin, refusal in misshapen(content)),
        *((f"envelope {what}", twin, refusal) for what, twin, refusal in misshapen(wire)),
        *more,
    ]
    return {
        "label": label.value,
        "fields": as_json(fields_of(content)),
        "content": content.hex(),
        "hash": sha256(content).hex(),
        "signature": signature.hex(),
        "cases": [{"what": what, "wire": data.hex(), "refusal": refusal} for what, data, refusal in cases],
    }


def _selection(selection):
    verified = sign_plan(example.plan(selection=selection), example.orchestrator)
    opened = open_plan(verified.signed, example.orchestrator.verify_key)
    return {
        "selection": selection,
        "wire": encode(verified.signed).hex(),
        "plan_hash": opened.digest.hex(),
        "selected": {name: is_selected(opened, name) for name in NAMES},
    }
