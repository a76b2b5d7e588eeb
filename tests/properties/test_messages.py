"""Documents and messages: what is encoded decodes to itself, and nothing that arrives raises anything but `PeerError`."""

import msgspec
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from hushfleet.codec import decode, encode
from hushfleet.documents import (
    AnswerResult,
    Broker,
    Bundle,
    DecryptionRequest,
    DeviceEntry,
    EnrolledRole,
    EnrolmentRequest,
    EvaluateTask,
    Header,
    JournalHead,
    KeyShareGrant,
    LocalTraining,
    MeasureTask,
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
    SignedGrant,
    TrainTask,
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
    sign_bundle,
    sign_enrolment_request,
    sign_grant,
    sign_header,
    sign_plan,
    sign_receipt,
    sign_record,
    sign_roster,
)
from hushfleet.documents.enrolment import BundleFile
from hushfleet.encryption.paillier.contexts import partial_context
from hushfleet.errors import FaultyOrchestrator, PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.rounds.evidence import open_evidence
from hushfleet.rounds.plan_check import check_plan, nano_rho, standing
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.signing import Signed
from hushfleet.wire import (
    Answer,
    Body,
    Contribution,
    DeviceStatus,
    Evidence,
    Presence,
    SealedAnswer,
    answer_seal_context,
    contribution_seal_context,
    decode_signed,
    open_status,
    sign_status,
)
from hushfleet.wire.chunks import Chunk
from hushfleet.wire.status import MAX_SHOWN, STAYS_OUT, Readiness
from tests.support import documents as example
from tests.support.twins import flipped, packed

ROOM = 1 << 16
FORM = {Refusal.MESSAGE_MALFORMED, Refusal.MESSAGE_VERSION, Refusal.MESSAGE_TOO_LARGE}

ids = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
hashes = st.binary(min_size=32, max_size=32)
counts = st.integers(0, 2**63 - 1)
ordinals = st.integers(1, 2**63 - 1)
integers = st.integers(-(2**63), 2**64 - 1)
floats = st.floats(allow_nan=False)
texts = st.text(max_size=20)
readinesses = st.builds(
    Readiness,
    st.none() | st.sampled_from(sorted(STAYS_OUT)),
    st.none() | counts,
    st.integers(0, 1_000_000),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=MAX_SHOWN),
)
reasons = st.from_regex(r"[a-z0-9-]{0,63}", fullmatch=True)
blobs = st.binary(max_size=20)
signed = st.builds(Signed, blobs, blobs)
many = {"max_size": 3}


def tuples(of):
    return st.lists(of, **many).map(tuple)


ranges = st.tuples(st.integers(0, 2**62), st.integers(1, 2**62)).map(lambda pair: (pair[0], pair[0] + pair[1]))
privacy = st.builds(PrivacyPlan, *[counts] * 7)
heads = st.builds(JournalHead, counts, hashes)
names = st.from_regex(r"[!-~]{1,40}", fullmatch=True)
positive = st.floats(min_value=5e-324, allow_nan=False, allow_infinity=False)
fractions = st.floats(0, 1, exclude_max=True)
trainings = st.one_of(
    st.builds(LocalTraining.make, ordinals, ordinals, positive, proximal=positive),
    st.builds(LocalTraining.make, ordinals, ordinals, positive, optimizer=st.just("momentum"), momentum=fractions),
    st.builds(
        LocalTraining.make,
        ordinals,
        ordinals,
        positive,
        optimizer=st.just("adam"),
        beta1=fractions,
        beta2=fractions,
        epsilon=positive,
        gradient_norm=positive,
    ),
)
normalisers = st.one_of(st.just(b""), hashes)
trains = st.builds(TrainTask, names, hashes, counts, hashes, trainings, normalisers)
evaluations = st.builds(EvaluateTask, names, hashes, counts, hashes, normalisers)
measurements = st.builds(MeasureTask, names, hashes)
tasks = st.one_of(trains, evaluations, measurements)
plans = st.builds(
    Plan,
    ids,
    hashes,
    ordinals,
    hashes,
    ordinals,
    tasks,
    texts,
    integers,
    privacy,
    floats,
    floats,
    integers,
    heads,
    integers,
    integers,
)
near = st.integers(0, 2**12)
figures = st.builds(
    PrivacyPlan,
    st.one_of(counts, st.integers(9_180, 9_210)),
    st.one_of(counts, near),
    st.one_of(counts, near),
    st.integers(0, 12),
    st.integers(0, 120),
    st.just(20),
    st.just(1),
)
headers = st.builds(Header, ids, hashes, ordinals, hashes, hashes, counts)
model_results = st.builds(ModelResult, hashes, hashes, counts, st.builds(OptimizerSettings, texts, tuples(st.tuples(texts, floats))))
results = st.one_of(model_results, st.builds(AnswerResult, tuples(floats)))
records = st.builds(
    RoundRecord,
    ids,
    hashes,
    ordinals,
    st.sampled_from(Outcome),
    texts,
    hashes,
    hashes,
    tuples(ids),
    results,
    counts,
    counts,
    counts,
    heads,
)
receipts = st.builds(Receipt, ids, ids, hashes, ordinals, hashes, st.sampled_from(ReceiptStatus), tuples(ranges), reasons)
grants = st.builds(KeyShareGrant, ids, hashes, ids, st.integers(1, 10), blobs)
bodies = st.builds(Body, hashes, ids, hashes, tuples(blobs), blobs)
answers = st.builds(Answer, hashes, ordinals, hashes, hashes, st.integers(1, 10), tuples(blobs), blobs)
rosters = st.builds(
    lambda serial, epoch, devices, paillier: example.roster(serial=serial, key_epoch=epoch, devices=devices, paillier=paillier),
    ordinals,
    counts,
    st.permutations([example.entry(name) for name in example.NAMES]).map(tuple),
    blobs,
)
entries = st.builds(DeviceEntry, ids, hashes, hashes, st.just(1), st.one_of(st.just(""), ids))
brokers = st.builds(Broker, st.from_regex(r"[0-9A-Za-z._:%-]{1,253}", fullmatch=True), st.integers(1, 65_535))
roles = st.sampled_from(EnrolledRole)
enrolments = st.builds(EnrolmentRequest, roles, ids, hashes, hashes, st.just(1), blobs)
bundles = st.builds(Bundle, ids, roles, ids, signed, blobs, brokers, blobs, blobs)
chunks = st.builds(
    lambda index, more, digest, data: Chunk(index, index + more, (index + more) * len(data), digest, data),
    st.integers(0, 2000),
    st.integers(1, 2000),
    hashes,
    st.binary(min_size=1, max_size=20),
)
messages = st.one_of(
    plans,
    headers,
    records,
    receipts,
    grants,
    bodies,
    answers,
    rosters,
    entries,
    signed,
    privacy,
    st.builds(SignedGrant, signed),
    st.builds(Contribution, signed, blobs, tuples(blobs)),
    st.builds(SealedAnswer, signed),
    st.builds(Evidence, signed, signed),
    st.builds(
        DeviceStatus,
        ids,
        ids,
        st.sampled_from(Presence),
        counts,
        st.from_regex(r"[0-9a-z.+]{0,40}", fullmatch=True),
        st.binary(min_size=16, max_size=16),
        heads,
        readinesses,
    ),
    heads,
    trainings,
    trains,
    evaluations,
    measurements,
    model_results,
    st.builds(NamedHash, names, hashes),
    st.builds(DecryptionRequest, signed, signed, tuples(signed)),
    st.just(example.policy()),
    enrolments,
    bundles,
    brokers,
    chunks,
    st.builds(BundleFile, hashes, signed),
)
KINDS = [
    Plan,
    PrivacyPlan,
    LocalTraining,
    TrainTask,
    EvaluateTask,
    MeasureTask,
    ModelResult,
    AnswerResult,
    JournalHead,
    NamedHash,
    Header,
    DecryptionRequest,
    RoundRecord,
    OptimizerSettings,
    Receipt,
    KeyShareGrant,
    SignedGrant,
    Roster,
    DeviceEntry,
    Policy,
    Body,
    Contribution,
    Answer,
    SealedAnswer,
    Evidence,
    Signed,
    DeviceStatus,
    EnrolmentRequest,
    Bundle,
    BundleFile,
    Broker,
    Chunk,
]

scalars = st.one_of(st.none(), st.booleans(), integers, st.floats(), st.text(max_size=4), blobs, hashes, ids)
trees = st.recursive(scalars, lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(st.text(max_size=2), inner, **many)))
raw = st.one_of(
    st.binary(max_size=64),
    st.binary(max_size=64).map(lambda data: b"\x92\x02" + data),
    trees.map(msgspec.msgpack.encode),
    st.tuples(st.lists(trees, max_size=16), st.sampled_from([0, 1, 2, 2, 2, 3])).map(lambda pair: packed(*pair)),
)


def opened_or_refused(step):
    """What `step` gives, or the reason of the `PeerError` that it raises. Anything else it raises fails the test."""
    try:
        return step()
    except PeerError as error:
        return error.reason


@given(messages)
def test_decoding_inverts_encoding(message):
    data = encode(message)
    assert decode(type(message), data, max_bytes=len(data)) == message


@given(messages, st.data())
def test_every_truncation_and_extension_is_refused(message, data):
    whole = encode(message)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    extended = whole + data.draw(st.binary(min_size=1, max_size=8))
    for altered in (cut, extended):
        assert opened_or_refused(lambda altered=altered: decode(type(message), altered, max_bytes=ROOM)) in FORM
    assert opened_or_refused(lambda: decode(type(message), extended, max_bytes=len(whole))) is Refusal.MESSAGE_TOO_LARGE


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=raw)
def test_arbitrary_bytes_are_a_message_or_refused(kind, data):
    found = opened_or_refused(lambda: decode(kind, data, max_bytes=ROOM))
    assert isinstance(found, kind | Refusal)


@given(messages, st.data())
def test_a_message_with_some_bytes_replaced_is_a_message_or_refused(message, data):
    altered = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
    found = opened_or_refused(lambda: decode(type(message), bytes(altered), max_bytes=ROOM))
    assert isinstance(found, type(message) | Refusal)


@given(st.sampled_from(KINDS), st.lists(st.one_of(scalars, integers), min_size=1, max_size=16))
def test_what_decodes_encodes_and_decodes_again(kind, fields):
    found = opened_or_refused(lambda: decode(kind, packed(fields), max_bytes=ROOM))
    if not isinstance(found, Refusal):
        again = decode(kind, encode(found), max_bytes=ROOM)
        assert repr(again) == repr(found)  # NaN is not equal to itself


OWNER, ORCHESTRATOR = example.owner.verify_key, example.orchestrator.verify_key
SIGNED_DOCUMENTS = {
    "roster": (sign_roster(example.roster(), example.owner), lambda signed: open_roster(signed, OWNER)),
    "plan": (sign_plan(example.plan(), example.orchestrator).signed, lambda signed: open_plan(signed, ORCHESTRATOR)),
    "header": (sign_header(example.header(), example.orchestrator), lambda signed: open_header(signed, ORCHESTRATOR)),
    "receipt": (sign_receipt(example.receipt(), example.orchestrator), lambda signed: open_receipt(signed, ORCHESTRATOR)),
    "record": (sign_record(example.record(), example.orchestrator), lambda signed: open_record(signed, ORCHESTRATOR)),
    "status": (
        decode_signed(sign_status(example.status(), example.DEVICES["pi-01"][0])),
        lambda signed: open_status(encode(signed), example.DEVICES["pi-01"][0].verify_key, fleet=example.FLEET, device_id="pi-01"),
    ),
}


@pytest.mark.parametrize("kind", SIGNED_DOCUMENTS)
@given(data=st.data())
def test_any_flipped_bit_of_a_signed_document_is_refused(kind, data):
    document, opener = SIGNED_DOCUMENTS[kind]
    wire = encode(document)
    altered = flipped(wire, data.draw(st.integers(0, 8 * len(wire) - 1)))
    assert opened_or_refused(lambda: opener(decode_signed(altered))) in FORM | {Refusal.SIGNATURE}


@given(st.data())
def test_any_flipped_bit_of_a_signed_grant_is_refused(data):
    grant = example.grant()
    wire = sign_grant(grant, example.owner)
    altered = flipped(wire, data.draw(st.integers(0, 8 * len(wire) - 1)))
    found = opened_or_refused(lambda: open_grant(altered, OWNER, member_id=grant.member_id, key_id=grant.key_id))
    assert found in FORM | {Refusal.SIGNATURE}


@given(st.data())
def test_any_flipped_bit_of_an_enrolment_request_is_refused_and_changes_its_fingerprint(data):
    wire = encode(sign_enrolment_request(example.enrolment(), example.DEVICES["pi-05"][0]))
    altered = flipped(wire, data.draw(st.integers(0, 8 * len(wire) - 1)))
    assert opened_or_refused(lambda: open_enrolment_request(decode_signed(altered))) in FORM | {
        Refusal.SIGNATURE,
        Refusal.ID_MALFORMED,
        Refusal.SEALING_SUITE,
    }
    assert fingerprint(altered) != fingerprint(wire)


@pytest.mark.parametrize("pinned", [OWNER, None])
@given(data=st.data())
def test_any_flipped_bit_of_a_bundle_is_refused_and_changes_its_fingerprint(pinned, data):
    wire = sign_bundle(example.bundle(), example.owner)
    altered = flipped(wire, data.draw(st.integers(0, 8 * len(wire) - 1)))
    assert opened_or_refused(lambda: opened_bundle(altered, pinned)) in FORM | {Refusal.SIGNATURE}
    assert fingerprint(altered) != fingerprint(wire)


@given(raw)
def test_arbitrary_bytes_are_no_request_and_no_bundle(data):
    openers = (lambda: open_enrolment_request(decode_signed(data)), lambda: opened_bundle(data, None), lambda: opened_bundle(data, OWNER))
    for opener in openers:
        assert isinstance(opened_or_refused(opener), Refusal)


@given(raw)
def test_a_signature_over_anything_does_not_make_it_a_request_or_a_bundle(content):
    request = example.DEVICES["pi-05"][0].sign(Label.ENROLMENT, content)
    bundle = encode(BundleFile(OWNER.raw, example.owner.sign(Label.BUNDLE, content)))
    assert isinstance(opened_or_refused(lambda: open_enrolment_request(request)), Refusal)
    assert isinstance(opened_or_refused(lambda: opened_bundle(bundle, OWNER)), Refusal)


@given(bundles)
def test_a_bundle_whose_roster_is_anything_is_refused_though_the_owner_signed_it(bundle):
    assert isinstance(opened_or_refused(lambda: opened_bundle(sign_bundle(bundle, example.owner), OWNER)), Refusal)


def opened_bundle(data, pinned):
    signing, sealing = example.DEVICES["pi-05"]
    return open_bundle(data, root=pinned, device_id="pi-05", keys=(signing.verify_key, sealing.public.raw))


@pytest.mark.parametrize(
    ("kind", "label", "signer"),
    [
        ("roster", Label.ROSTER, example.owner),
        ("plan", Label.PLAN, example.orchestrator),
        ("header", Label.HEADER, example.orchestrator),
        ("receipt", Label.RECEIPT, example.orchestrator),
        ("record", Label.RECORD, example.orchestrator),
        ("status", Label.STATUS, example.DEVICES["pi-01"][0]),
    ],
)
@given(content=raw)
def test_a_signature_over_anything_does_not_make_it_a_document(kind, label, signer, content):
    found = opened_or_refused(lambda: SIGNED_DOCUMENTS[kind][1](signer.sign(label, content)))
    assert isinstance(found, Refusal)


@given(raw)
def test_arbitrary_bytes_are_no_evidence(data):
    assert isinstance(opened_or_refused(lambda: open_evidence(data, ORCHESTRATOR)), Refusal)


class TestWhatFollowsADecodedDocument:
    """A signer may put in what it likes: whatever passes the constructor fits every step that comes after."""

    @given(plans)
    def test_a_plan_is_within_the_policy_or_refused(self, plan):
        roster = example.verified_roster()
        verified = open_plan(sign_plan(plan, example.orchestrator).signed, ORCHESTRATOR)
        standing(plan, roster)
        is_selected(verified, "pi-01")
        with pytest.raises(FaultyOrchestrator):
            check_plan(verified, roster, DEVICE_SCHEMES)

    @given(figures, st.one_of(integers, st.integers(1, 2**20)))
    def test_a_plan_of_this_fleet_has_a_cost_that_can_be_stored_or_is_refused(self, figures, dimension):
        cost = cost_of(figures, dimension)
        assert isinstance(cost, Refusal) or 0 < cost < 2**63

    def test_the_figures_above_make_plans_that_pass(self):
        assert find(figures, lambda figures: not isinstance(cost_of(figures, 650), Refusal))

    @given(answers, plans)
    def test_contexts_hold_every_answer_and_plan(self, answer, plan):
        assert len(answer_seal_context(answer.key_id, answer.round, answer.index)) == 42
        assert contribution_seal_context(plan.key_id, plan.round, "pi-01")[40:] == b"\0\0\0\5pi-01"
        assert partial_context(answer.key_id, answer.round, answer.plan_hash, answer.root, answer.index)[-2:] == bytes([0, answer.index])


def cost_of(figures, dimension):
    """What a plan with these figures costs under the example's roster, or why it is refused."""
    roster = example.verified_roster()
    fields = {"key_id": roster.key_id, "roster_hash": roster.digest, "privacy": figures, "dimension": dimension}
    verified = open_plan(sign_plan(example.plan(**fields), example.orchestrator).signed, ORCHESTRATOR)
    refusal = opened_or_refused(lambda: check_plan(verified, roster, DEVICE_SCHEMES))
    return nano_rho(verified.plan, roster) if refusal is None else refusal
