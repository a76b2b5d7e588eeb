import pytest

from hushfleet.codec import decode, encode
from hushfleet.documents import sign_plan, sign_record, sign_roster
from hushfleet.documents.enrolment import BundleFile
from hushfleet.errors import PeerError, Refusal
from hushfleet.signing import Signed
from provisioning.bundles import grant_in
from provisioning.show import Known, explain
from tests.support import documents
from tests.support.enrolling import MEMBERS, ORCHESTRATOR, applicant
from tests.support.refusals import refused

OURS = Known(documents.owner.verify_key, documents.orchestrator.verify_key)
OTHERS = Known(documents.orchestrator.verify_key, documents.owner.verify_key)
SIGNED = {
    "roster": sign_roster(documents.roster(), documents.owner),
    "plan": sign_plan(documents.plan(), documents.orchestrator).signed,
    "round record": sign_record(documents.record(), documents.orchestrator),
}


@pytest.mark.parametrize("kind", SIGNED)
def test_it_knows_what_it_is_and_who_signed_it(kind):
    data = encode(SIGNED[kind])
    assert explain(data, OURS)["kind"] == kind
    assert explain(data, OURS)["fleet"] == documents.FLEET
    assert explain(data, OURS)["signature"].startswith("that of this vault's")
    assert explain(data, OTHERS)["signature"].startswith("NOT that of this vault's")
    assert explain(data, Known())["signature"].startswith("not checked")


def test_a_changed_document_is_not_taken_for_the_owners():
    signed = SIGNED["roster"]
    data = encode(Signed(signed.content.replace(b"pi-05", b"pi-06"), signed.signature))
    assert explain(data, OURS)["signature"] == "NOT that of this vault's owner"


def test_a_request():
    told = explain(encode(applicant("pi-01").request()), OURS)
    assert (told["kind"], told["id"], told["role"]) == ("enrolment request", "pi-01", "device")


def test_a_bundle(fleet):
    known = Known.of(fleet.vault.registry)
    told = explain(fleet.vault.bundle("pi-02"), known)
    assert (told["kind"], told["committee_member"], told["key_share"]) == ("bundle", 2, "yes, sealed to this device")
    assert told["root_fingerprint"] == fleet.vault.root_fingerprint
    assert told["signature"] == "that of this vault's owner"
    assert explain(fleet.vault.bundle("pi-05"), known)["key_share"] == "none"
    assert explain(fleet.vault.bundle(ORCHESTRATOR), OURS)["signature"] == "NOT that of this vault's owner"
    assert "compare" in explain(fleet.vault.bundle(ORCHESTRATOR), Known())["signature"]


def test_a_vault_without_a_roster_knows_its_root_alone(vault):
    assert Known.of(vault.registry) == Known(vault.registry.root)
    assert Known.of(None) == Known()


def test_an_altered_bundle_or_request_is_refused(fleet):
    file = decode(BundleFile, fleet.vault.bundle("pi-05"), max_bytes=1 << 20)
    altered = Signed(file.signed.content.replace(b"broker.lan", b"brokes.lan"), file.signed.signature)
    with refused(Refusal.SIGNATURE, PeerError):
        explain(encode(BundleFile(file.root_key, altered)), Known())
    request = applicant("pi-01").request()
    with refused(Refusal.SIGNATURE, PeerError):
        explain(encode(Signed(request.content.replace(b"pi-01", b"pi-02"), request.signature)), Known())


NOTHING = {"empty": b"", "text": b"hello", "cut": encode(SIGNED["plan"])[:-1], "unsigned": encode(documents.plan())}


@pytest.mark.parametrize("data", NOTHING.values(), ids=NOTHING)
def test_anything_else_is_refused(data):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        explain(data, OURS)


def test_no_share_is_shown(fleet):
    for name in MEMBERS:
        told = explain(fleet.vault.bundle(name), Known())
        assert told["key_share"] == "yes, sealed to this device"
        grant = grant_in(fleet.vault.folder.bundle_file(name), fleet.vault.roster)
        assert grant.hex()[:20] not in repr(told)
