from hushfleet.codec import encode
from hushfleet.documents import DecryptionRequest, DeviceEntry, NamedHash, Policy, sign_header, sign_plan
from hushfleet.documents import limits as documents
from hushfleet.labels import Label
from hushfleet.wire import Evidence
from hushfleet.wire.limits import LIMITS
from tests.support.documents import body, header, orchestrator, plan, roster

MOST = documents.MAX_COUNTER
ID = "z" * 63


def test_the_longest_plan_and_header_fit():
    longest = sign_plan(plan(fleet=ID, round=MOST, roster_serial=MOST, model_version=MOST, dimension=MOST, deadline_s=MOST), orchestrator)
    signed = sign_header(header(fleet=ID, round=MOST, count=MOST), orchestrator)
    assert len(longest.signed.content) < documents.MAX_PLAN_BYTES
    assert len(signed.content) < documents.MAX_HEADER_BYTES
    assert len(encode(Evidence(signed, signed))) < LIMITS.evidence


def test_a_roster_of_the_greatest_cohort_with_the_longest_ids_fits():
    numbers = range(documents.MAX_COHORT)
    devices = tuple(DeviceEntry.make(f"{number:063}", f"{number:032}".encode(), f"-{number:031}".encode()) for number in numbers)
    committee = tuple(entry.device_id for entry in devices[: documents.MAX_MEMBERS])
    policy = Policy.make(models=tuple(NamedHash(f"{number:0200}", bytes([number]) * 32) for number in range(100)))
    largest = roster(devices=devices, committee=committee, f=3, paillier=bytes(2 * 768 * 14), policy=policy)
    assert len(encode(largest)) < documents.MAX_ROSTER_BYTES


def test_a_request_of_the_greatest_cohort_fits_at_the_default_size_of_scheme_paillier():
    """4,096 values in 20-bit slots of a 3,072-bit plaintext: 27 ciphertexts of 768 bytes."""
    one = orchestrator.sign(Label.BODY, encode(body(device_id=ID, items=(bytes(768),) * 27, proof=bytes(3000))))
    assert len(one.content) < LIMITS.body
    assert len(encode(DecryptionRequest(one, one, ()))) + documents.MAX_COHORT * len(encode(one)) < LIMITS.request


def test_the_ceilings_of_documents_lie_below_that_of_anything_signed():
    ceilings = (documents.MAX_ROSTER_BYTES, documents.MAX_PLAN_BYTES, documents.MAX_RECEIPT_BYTES, documents.MAX_RECORD_BYTES)
    assert max(ceilings) < LIMITS.signed_document
