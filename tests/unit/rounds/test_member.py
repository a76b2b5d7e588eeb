from dataclasses import replace
from itertools import combinations

import msgspec
import pytest

from hushfleet.codec import decode, encode
from hushfleet.documents import KeyShareGrant, sign_grant
from hushfleet.encryption.sealing import SealingPublicKey, seal, unseal
from hushfleet.errors import FaultyDevice, FaultyOrchestrator, FaultyOwner, PeerError, PhaseError, Refusal
from hushfleet.labels import Label
from hushfleet.randomness import SeededRandomness, SystemRandomness
from hushfleet.rounds.cohort import open_bodies
from hushfleet.rounds.effects import Alert, DropShare, KeepAnswer, KeepRoster, KeepShare, Note, Persist
from hushfleet.rounds.events import Connected, GrantArrived, InboxArrived, RequestArrived, RosterArrived
from hushfleet.rounds.evidence import verify_evidence
from hushfleet.rounds.member import MemberMemory, Ready, Unenrolled, Waiting
from hushfleet.schemes.base import OpenedContribution
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.signing import Signed, VerifyKey
from hushfleet.wire import Answer, Body, Inbox, KeyShareDelivery, Kind, SealedAnswer, answer_seal_context, encode_signed
from hushfleet.wire.limits import LIMITS
from tests.support.fleet import changes, make_fleet, of, published, raise_refusal
from tests.support.refusals import refused

FLEET = make_fleet()
NAME = "device-01"
MEMBER = FLEET.member(NAME)
START = FLEET.member_state(NAME)
PLAN = FLEET.plan()
KEY_ID = FLEET.roster.key_id


def step(state, event, member=MEMBER):
    return member.step(state, event, SeededRandomness(b"member"))


def arrived(request):
    return RequestArrived(encode(request))


def roster_of(fleet):
    return RosterArrived(encode_signed(fleet.roster.signed))


def honest(plan=PLAN, names=None, fleet=FLEET):
    return arrived(fleet.request(plan, fleet.bodies(plan, names)))


def assert_refused(reason, kind, state, event):
    """The event is refused, and neither stored nor remembered."""
    after, effects = step(state, event)
    assert after is state
    assert not changes(effects)
    assert not published(effects, Kind.PARTIAL)
    with refused(reason, kind):
        raise_refusal(effects)
    return effects


def altered(signed, by=None, **fields: object):
    """The device signs another body."""
    return FLEET.sign_body(msgspec.structs.replace(decode(Body, signed.content, max_bytes=LIMITS.body), **fields), by=by)


def flipped(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def unsigned(signed):
    return Signed(signed.content, bytes(64))


# What can be wrong with a request, in the order in which a member looks for it.
FAULTS = {
    "header signature": (Refusal.SIGNATURE, PeerError),
    "root": (Refusal.REQUEST_ROOT, FaultyOrchestrator),
    "plan signature": (Refusal.SIGNATURE, PeerError),
    "header and plan": (Refusal.REQUEST_PLAN, FaultyOrchestrator),
    "policy": (Refusal.PLAN_NOISE, FaultyOrchestrator),
    "membership": (Refusal.NOT_ENROLLED, PeerError),
    "body signature": (Refusal.SIGNATURE, PeerError),
    "body of another plan": (Refusal.CONTRIBUTION_PLAN, FaultyDevice),
    "duplicate": (Refusal.REQUEST_DUPLICATE, FaultyOrchestrator),
    "order": (Refusal.REQUEST_ORDER, FaultyOrchestrator),
    "count": (Refusal.REQUEST_COUNT, FaultyOrchestrator),
    "number of ciphertexts": (Refusal.CIPHERTEXT_COUNT, FaultyDevice),
    "proof": (Refusal.KNOWLEDGE_PROOF, FaultyDevice),
}


def spoiled_proof(bodies):
    proof = decode(Body, bodies[0].content, max_bytes=LIMITS.body).proof
    return [altered(bodies[0], proof=flipped(proof)), *bodies[1:]]


# Applied in this order, so that each leaves the others what they need.
SPOILED_BODIES = {
    "proof": spoiled_proof,
    "number of ciphertexts": lambda bodies: [altered(bodies[0], items=()), *bodies[1:]],
    "count": lambda bodies: bodies[:2],
    "order": lambda bodies: bodies[::-1],
    "duplicate": lambda bodies: [*bodies, bodies[-1]],
    "body of another plan": lambda bodies: [altered(bodies[0], plan_hash=bytes(32)), *bodies[1:]],
    "body signature": lambda bodies: [unsigned(bodies[0]), *bodies[1:]],
    "membership": lambda bodies: [altered(bodies[0], by=FLEET.names[0], device_id="nobody"), *bodies[1:]],
}


def faulty(*faults: str):
    """A request with these faults and, as far as that is possible, no other."""
    plan = FLEET.plan(**({"variance": 16} if "policy" in faults else {}))
    bodies = list(FLEET.bodies(plan, FLEET.names[:5]))
    for fault, spoil in SPOILED_BODIES.items():
        bodies = spoil(bodies) if fault in faults else bodies
    header = {"round": plan.plan.round + 1} if "header and plan" in faults else {}
    header |= {"root": bytes(32)} if "root" in faults else {}
    request = FLEET.request(plan, bodies, **header)
    if "plan signature" in faults:
        request = msgspec.structs.replace(request, plan=unsigned(request.plan))
    if "header signature" in faults:
        request = msgspec.structs.replace(request, header=unsigned(request.header))
    return arrived(request)


class TestRequest:
    def test_an_honest_request_is_recorded_and_answered_in_one_step(self):
        state, effects = step(START, honest())

        persist, publish = effects
        (keep,) = persist.changes
        assert isinstance(persist, Persist)
        assert isinstance(keep, KeepAnswer)
        assert keep.sealed == publish.data == state.memory.answered[KEY_ID].sealed
        assert (keep.round, keep.root) == (1, state.memory.answered[KEY_ID].root)

    def test_the_answer_is_sealed_signed_and_opens_exactly_this_cohort(self):
        event = honest()
        _, effects = step(START, event)

        plain = unseal(
            FLEET.parties.orchestrator.sealing, Label.SEAL_ANSWER, answer_seal_context(KEY_ID, 1, 1), published(effects, Kind.PARTIAL)[0]
        )
        signed = decode(SealedAnswer, plain, max_bytes=LIMITS.answer).answer
        content = VerifyKey(FLEET.roster.device(NAME).verify_key).open(Label.ANSWER, signed)
        answer = decode(Answer, content, max_bytes=LIMITS.answer)

        bodies = open_bodies(FLEET.terms(PLAN), FLEET.bodies(PLAN))
        total = ORCHESTRATOR_SCHEMES["paillier"].start(FLEET.terms(PLAN))
        for body in bodies:
            total = total.add(OpenedContribution(body))
        total.check_answer(answer)
        assert (answer.plan_hash, answer.root) == (PLAN.digest, changes(effects)[0].root)

    @pytest.mark.parametrize("count", [4, 5])
    def test_cohorts_from_k_min_to_k_max_are_answered(self, count):
        _, effects = step(START, honest(names=FLEET.names[:count]))

        assert published(effects, Kind.PARTIAL)

    @pytest.mark.parametrize("count", [0, 1, 3, 6])
    def test_cohorts_below_k_min_or_above_k_max_are_refused(self, count):
        assert_refused(Refusal.REQUEST_COUNT, FaultyOrchestrator, START, honest(names=FLEET.names[:count]))

    @pytest.mark.parametrize("count", [0, 3, 5, 2**31])
    def test_a_header_that_counts_otherwise_is_refused(self, count):
        event = arrived(FLEET.request(PLAN, FLEET.bodies(PLAN), count=count))

        assert_refused(Refusal.REQUEST_COUNT, FaultyOrchestrator, START, event)

    @pytest.mark.parametrize("fault", FAULTS)
    def test_one_fault_is_refused_and_the_honest_request_is_still_answered(self, fault):
        assert_refused(*FAULTS[fault], START, faulty(fault))

        assert published(step(START, honest())[1], Kind.PARTIAL)

    @pytest.mark.parametrize(("first", "second"), list(combinations(FAULTS, 2)))
    def test_of_two_faults_the_first_is_named(self, first, second):
        assert_refused(*FAULTS[first], START, faulty(first, second))

    def test_without_a_fault_the_same_request_is_answered(self):
        assert published(step(START, faulty())[1], Kind.PARTIAL)

    @pytest.mark.parametrize("fields", [{"fleet": "others"}, {"key_id": bytes(32)}, {"plan_hash": bytes(32)}], ids=str)
    def test_header_and_plan_must_name_the_same_round(self, fields):
        event = arrived(FLEET.request(PLAN, FLEET.bodies(PLAN), **fields))
        reason = Refusal.REQUEST_ROOT if "plan_hash" in fields else Refusal.REQUEST_PLAN

        assert_refused(reason, FaultyOrchestrator, START, event)

    def test_a_plan_of_an_older_serial_under_the_same_key_is_judged_by_the_roster_held_now(self):
        newer = FLEET.newer()
        state, _ = step(START, roster_of(newer))

        assert published(step(state, honest())[1], Kind.PARTIAL)

    def test_a_device_revoked_since_the_plan_is_refused(self):
        state, _ = step(START, roster_of(FLEET.without("device-05")))

        assert_refused(Refusal.NOT_ENROLLED, PeerError, state, honest(names=(*FLEET.names[:3], "device-05")))

    def test_a_policy_tightened_since_the_plan_is_applied(self):
        newer = FLEET.newer(policy=msgspec.structs.replace(FLEET.policy, min_devices=5, max_devices=10))
        state, _ = step(START, roster_of(newer))

        assert_refused(Refusal.PLAN_COHORT_FLOOR, FaultyOrchestrator, state, honest())

    def test_a_request_that_no_codec_takes_is_refused(self):
        for data in (b"", b"\x00", encode(FLEET.request(PLAN, FLEET.bodies(PLAN)))[:-1]):
            assert_refused(Refusal.MESSAGE_MALFORMED, PeerError, START, RequestArrived(data))

    def test_without_a_roster_nothing_is_judged(self):
        with refused(Refusal.PHASE, PhaseError):
            step(Unenrolled(), honest())


class TestAgain:
    @pytest.fixture
    def answered(self):
        return step(START, honest(FLEET.plan(5)))

    def test_the_same_root_gets_the_very_same_bytes_and_records_nothing(self, answered):
        state, effects = answered

        after, again = MEMBER.step(state, honest(FLEET.plan(5)), SystemRandomness())

        assert after is state
        assert published(again, Kind.PARTIAL) == published(effects, Kind.PARTIAL)
        assert not changes(again)

    def test_a_lower_round_is_refused(self, answered):
        assert_refused(Refusal.REQUEST_ROUND_LOWER, FaultyOrchestrator, answered[0], honest(FLEET.plan(4)))

    def test_a_second_root_is_refused_and_only_the_two_headers_are_published(self, answered):
        state, _ = answered
        second = FLEET.request(FLEET.plan(5), FLEET.bodies(FLEET.plan(5), FLEET.names[1:5]))

        effects = assert_refused(Refusal.REQUEST_SECOND_ROOT, FaultyOrchestrator, state, arrived(second))

        (evidence,) = published(effects, Kind.EVIDENCE)
        assert len(evidence) < LIMITS.evidence
        assert verify_evidence(FLEET.roster, NAME, evidence).round == 5
        assert of(effects, Alert)

    def test_a_second_root_is_evidence_whatever_it_comes_with(self, answered):
        bare = FLEET.request(FLEET.plan(5), (), root=bytes(32))

        effects = assert_refused(Refusal.REQUEST_SECOND_ROOT, FaultyOrchestrator, answered[0], arrived(bare))

        assert published(effects, Kind.EVIDENCE)

    def test_a_second_root_in_a_header_that_nobody_signed_is_none(self, answered):
        request = FLEET.request(FLEET.plan(5), (), root=bytes(32))
        forged = msgspec.structs.replace(request, header=unsigned(request.header))

        effects = assert_refused(Refusal.SIGNATURE, PeerError, answered[0], arrived(forged))

        assert not published(effects, Kind.EVIDENCE)

    def test_a_higher_round_replaces_the_answer(self, answered):
        state, effects = step(answered[0], honest(FLEET.plan(6)))

        assert state.memory.answered[KEY_ID].round == 6
        assert_refused(Refusal.REQUEST_ROUND_LOWER, FaultyOrchestrator, state, honest(FLEET.plan(5)))
        assert published(effects, Kind.PARTIAL)

    def test_connected_sends_the_very_same_bytes(self, answered):
        state, effects = answered

        assert published(step(state, Connected())[1], Kind.PARTIAL) == published(effects, Kind.PARTIAL)

    @pytest.mark.parametrize("state", [START, Unenrolled()], ids=["unasked", "without roster"])
    def test_connected_with_nothing_to_say_says_nothing(self, state):
        assert step(state, Connected()) == (state, ())


class TestRoster:
    def test_a_request_under_a_newer_roster_waits_unrecorded_and_is_answered_when_that_comes(self):
        newer = FLEET.newer()
        request = honest(newer.plan(), fleet=newer)

        waiting, effects = step(START, request)
        assert (waiting.memory.answered, changes(effects), [type(e) for e in effects]) == ({}, [], [Note])
        state, effects = step(waiting, roster_of(newer))

        assert isinstance(state, Ready)
        assert changes(effects)[0] == KeepRoster(newer.roster.signed)
        assert published(effects, Kind.PARTIAL) == [state.memory.answered[KEY_ID].sealed]

    def test_a_roster_on_the_way_leaves_it_waiting(self):
        newest = FLEET.newer(serial=9)
        waiting, _ = step(START, honest(newest.plan(), fleet=newest))

        state, effects = step(waiting, roster_of(FLEET.newer(serial=5)))

        assert state.request == waiting.request
        assert not published(effects, Kind.PARTIAL)

    def test_a_waiting_request_that_is_then_refused_does_not_keep_the_roster_out(self):
        newer = FLEET.newer(policy=msgspec.structs.replace(FLEET.policy, min_devices=5))
        waiting, _ = step(START, arrived(FLEET.request(newer.plan(), FLEET.bodies(newer.plan()))))

        state, effects = step(waiting, roster_of(newer))

        assert (state.roster.digest, type(state)) == (newer.roster.digest, Ready)
        assert changes(effects) == [KeepRoster(newer.roster.signed)]
        with refused(Refusal.PLAN_COHORT_FLOOR, FaultyOrchestrator):
            raise_refusal(effects)

    def test_a_new_key_epoch_erases_the_share_and_nothing_is_answered_without_one(self):
        newer = FLEET.newer(key_epoch=1)

        state, effects = step(START, roster_of(newer))

        assert not state.share
        assert changes(effects) == [KeepRoster(newer.roster.signed), DropShare(KEY_ID)]
        after, effects = step(state, honest(newer.plan(), fleet=newer))
        assert isinstance(after, Waiting)
        assert (changes(effects), published(effects, Kind.PARTIAL)) == ([], [])

    def test_a_new_serial_alone_keeps_the_share(self):
        state, effects = step(START, roster_of(FLEET.newer()))

        assert (state.share, type(state)) == (START.share, Ready)
        assert changes(effects) == [KeepRoster(FLEET.newer().roster.signed)]

    def test_a_request_that_waited_through_a_re_deal_is_answered_when_the_share_comes(self):
        newer = FLEET.newer(key_epoch=1)
        waiting, _ = step(START, honest(newer.plan(), fleet=newer))
        state, _ = step(waiting, roster_of(newer))
        assert state.request == waiting.request

        state, effects = step(state, GrantArrived(newer.grants[NAME]))

        assert isinstance(state, Ready)
        assert published(effects, Kind.PARTIAL) == [state.memory.answered[newer.roster.key_id].sealed]

    def test_the_new_epochs_share_is_imported_and_rounds_count_anew(self):
        state, _ = step(START, honest(FLEET.plan(9)))
        newer = FLEET.newer(key_epoch=1)
        state, _ = step(state, roster_of(newer))
        state, _ = step(state, GrantArrived(newer.grants[NAME]))

        state, effects = step(state, honest(newer.plan(1), fleet=newer))

        assert published(effects, Kind.PARTIAL)
        assert {answered.round for answered in state.memory.answered.values()} == {1, 9}

    def test_a_request_under_a_new_key_waits_for_roster_and_share(self):
        newer = FLEET.newer(key_epoch=1)
        state, _ = step(START, honest(newer.plan(), fleet=newer))
        state, _ = step(state, roster_of(newer))
        assert isinstance(state, Waiting)

        state, effects = step(state, GrantArrived(newer.grants[NAME]))

        assert isinstance(state, Ready)
        assert [type(change) for change in changes(effects)] == [KeepShare, KeepAnswer]
        assert published(effects, Kind.PARTIAL)

    def test_an_older_roster_is_refused(self):
        state, _ = step(START, roster_of(FLEET.newer()))

        assert_refused(Refusal.ROSTER_OLDER, FaultyOwner, state, roster_of(FLEET))

    def test_two_rosters_of_one_serial_raise_the_alarm_and_stop_the_member_until_the_next_deal(self):
        twin = replace(FLEET, policy=msgspec.structs.replace(FLEET.policy, max_values=999))

        state, effects = step(START, roster_of(twin))

        with refused(Refusal.ROSTER_CONFLICT, FaultyOwner):
            raise_refusal(effects)
        assert of(effects, Alert)
        assert [(one.key_id, one.reason) for one in changes(effects)] == [(KEY_ID, Refusal.ROSTER_CONFLICT)]
        assert_refused(Refusal.ROSTER_CONFLICT, FaultyOwner, state, honest())
        newer = FLEET.newer(key_epoch=1)
        state, _ = step(step(state, roster_of(newer))[0], GrantArrived(newer.grants[NAME]))
        assert published(step(state, honest(newer.plan(), fleet=newer))[1], Kind.PARTIAL)

    def test_the_roster_in_force_again_is_no_news(self):
        assert step(START, roster_of(FLEET)) == (START, ())


class TestGrant:
    EMPTY = Ready(MemberMemory(), FLEET.roster)

    def grant(self, member=NAME, index=1, share=None, *, fleet=FLEET, key_id=None, to=NAME, root=None, context=None):
        share = fleet.dealing.shares[index - 1] if share is None else share
        key_id = key_id or fleet.roster.key_id
        plain = sign_grant(
            KeyShareGrant(fleet.roster.roster.fleet, key_id, member, index, share.to_bytes(fleet.dealing.public)),
            root or fleet.parties.owner.root,
        )
        recipient = SealingPublicKey(fleet.roster.device(to).sealing_key)
        return GrantArrived(seal(recipient, Label.SEAL_KEY_SHARE, context or key_id, plain))

    def test_the_owners_share_is_kept(self):
        state, effects = step(self.EMPTY, self.grant())

        share = FLEET.dealing.shares[0].to_bytes(FLEET.dealing.public)
        assert state.share.data == share
        assert changes(effects) == [KeepShare(KEY_ID, share)]

    def test_the_share_again_is_not_stored_again(self):
        after, effects = step(START, self.grant())

        assert (after, [type(effect) for effect in effects]) == (START, [Note])

    @pytest.mark.parametrize(
        ("reason", "kind", "made"),
        [
            (Refusal.SEAL, PeerError, {"to": "device-02"}),
            (Refusal.SEAL, PeerError, {"context": bytes(32)}),
            (Refusal.SIGNATURE, PeerError, {"root": FLEET.parties.orchestrator.signing}),
            (Refusal.SHARE_FOR_ANOTHER, FaultyOwner, {"member": "device-02"}),
            (Refusal.SHARE_FOR_ANOTHER, FaultyOwner, {"key_id": bytes(32), "context": KEY_ID}),
            (Refusal.SHARE_FOR_ANOTHER, PeerError, {"index": 2}),
            (Refusal.SHARE_MISMATCH, PeerError, {"share": "shifted"}),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else None,
    )
    def test_any_other_grant_is_refused(self, reason, kind, made):
        if made.get("share"):
            first = FLEET.dealing.shares[0]
            made = {"share": type(first)(1, first.value + 1)}

        assert_refused(reason, kind, self.EMPTY, self.grant(**made))

    def test_one_who_is_no_member_takes_no_share(self):
        outsider = FLEET.member("device-06")
        _, effects = step(self.EMPTY, self.grant(), outsider)

        with refused(Refusal.NOT_ENROLLED, PeerError):
            raise_refusal(effects)

    def test_without_a_roster_there_is_no_key_to_take_a_share_of(self):
        with refused(Refusal.PHASE, PhaseError):
            step(Unenrolled(), self.grant())

    def test_a_request_before_the_share_waits_for_it_and_is_then_answered(self):
        waiting, effects = step(self.EMPTY, honest())
        assert (type(waiting), changes(effects)) == (Waiting, [])

        state, effects = step(waiting, self.grant())

        assert isinstance(state, Ready)
        assert published(effects, Kind.PARTIAL)

    def test_the_inbox_brings_a_share_too(self):
        grant = self.grant()

        state, _ = step(self.EMPTY, InboxArrived(encode(Inbox(KeyShareDelivery(grant.data)))))

        assert state == step(self.EMPTY, grant)[0]


def test_the_state_shows_no_secret():
    state, _ = step(START, honest())

    assert str(FLEET.dealing.shares[0].value) not in repr(state)
    assert f"{FLEET.dealing.shares[0].value:x}" not in repr(state)
