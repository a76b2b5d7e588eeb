from dataclasses import replace

import msgspec
import numpy as np
import pytest

from hushfleet.codec import decode, encode
from hushfleet.documents import OptimizerSettings, Outcome, ReceiptStatus, open_header, open_receipt, open_record
from hushfleet.encryption.paillier.knowledge import prove
from hushfleet.encryption.paillier.public import encrypt
from hushfleet.encryption.sealing import SealingPublicKey, seal
from hushfleet.errors import FaultyDevice, FaultyMember, FaultyOwner, LocalError, PeerError, PhaseError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.cohort import cohort_of
from hushfleet.rounds.coordinator import Collecting, Decrypting, NoRound
from hushfleet.rounds.effects import (
    DropReceivedAnswer,
    KeepAccepted,
    KeepOutcome,
    KeepReceivedAnswer,
    KeepRequest,
    KeepRoster,
    KeepRound,
    Note,
    Publish,
    Refused,
)
from hushfleet.rounds.events import (
    AbortWanted,
    AnswerArrived,
    Connected,
    ContributionsArrived,
    DeadlinePassed,
    RosterArrived,
    RoundWanted,
)
from hushfleet.rounds.plan_check import nano_rho
from hushfleet.rounds.tasks.train import own
from hushfleet.schemes.paillier.profile import key_of, knowledge_context
from hushfleet.training import Architecture
from hushfleet.wire import (
    Body,
    Kind,
    contribution_seal_context,
    decode_decryption_request,
    decode_signed,
    encode_signed,
    masked_vector_hash,
)
from hushfleet.wire.limits import LIMITS
from tests.support.fleet import allowing, changes, make_fleet, of, published, raise_refusal, update_of, without_privacy
from tests.support.fleet.machines import Machines, OrchestratorMachine
from tests.support.refusals import refused

FLEET = make_fleet()
SILENT = without_privacy(FLEET)
KEY_ID = FLEET.roster.key_id
NAMES = FLEET.names


def collecting(fleet=FLEET, **fields: object):
    party = OrchestratorMachine(fleet, **fields)
    party.take(RoundWanted(1000))
    return party


def decrypting(fleet=FLEET, values=None):
    party = collecting(fleet)
    party.collect(*NAMES[:4], values=values)
    party.take(DeadlinePassed())
    assert isinstance(party.state, Decrypting)
    return party


def receipts(effects):
    return {
        effect.topic.device: open_receipt(decode_signed(effect.data), FLEET.roster.orchestrator)
        for effect in of(effects, Publish)
        if effect.topic.kind is Kind.RECEIPT
    }


def record_in(effects):
    (data,) = [data for data in published(effects, Kind.RECORD) if data]
    return open_record(decode_signed(data), FLEET.roster.orchestrator)


class TestRound:
    def test_a_round_is_stored_before_its_plan_is_published(self):
        party = OrchestratorMachine(FLEET)

        effects = party.take(RoundWanted(1000))

        assert changes(effects) == [KeepRound(KEY_ID, 1, party.plan.signed)]
        assert published(effects, Kind.PLAN) == [encode_signed(party.plan.signed)]
        assert isinstance(party.state, Collecting)

    def test_rounds_rise_whatever_they_came_to(self):
        party = collecting()
        party.take(AbortWanted("no reason"))

        party.take(RoundWanted())

        assert party.plan.plan.round == 2

    def test_the_first_round_of_one_that_replaces_another_lies_above_what_devices_saw(self):
        party = OrchestratorMachine(FLEET)

        party.take(RoundWanted(seen=7))
        first = party.plan.plan.round
        party.take(AbortWanted("no reason"))
        party.take(RoundWanted(seen=70))  # nobody moves the numbers of one that has begun

        assert (first, party.plan.plan.round) == (8, 9)

    def test_rounds_count_anew_under_a_new_key(self):
        party = collecting()
        party.take(AbortWanted("no reason"))
        party.take(RosterArrived(encode_signed(FLEET.newer(key_epoch=1).roster.signed)))

        party.take(RoundWanted())

        assert (party.plan.plan.round, party.plan.plan.key_id) == (1, FLEET.newer(key_epoch=1).roster.key_id)

    def test_a_job_outside_the_policy_starts_no_round(self):
        party = OrchestratorMachine(
            replace(FLEET, job=replace(FLEET.job, min_devices=5), policy=msgspec.structs.replace(FLEET.policy, min_devices=6))
        )

        party.refuses(Refusal.PLAN_COHORT_FLOOR, PeerError, RoundWanted())

    def test_a_job_that_no_plan_can_hold_starts_no_round(self):
        party = OrchestratorMachine(replace(FLEET, job=replace(FLEET.job, noise_multiplier=1e6)))

        party.refuses(Refusal.PLAN_UNREACHABLE, LocalError, RoundWanted())

    def test_a_model_too_large_for_the_scheme_starts_no_round_unless_asked_for(self):
        large = Architecture("large", (("weights", (65_537,)),), "none", b"large")
        policy = msgspec.structs.replace(FLEET.policy, models=allowing(large), max_values=100_000)
        job = replace(FLEET.job, task=replace(FLEET.job.task, architecture=large))

        OrchestratorMachine(replace(FLEET, policy=policy, job=job)).refuses(Refusal.PLAN_DIMENSION, LocalError, RoundWanted())
        patient = collecting(replace(FLEET, policy=policy, job=replace(job, accept_slow=True)))
        assert patient.plan.plan.dimension == 65_537

    def test_a_target_below_k_min_is_no_target(self):
        with refused(Refusal.SETTINGS_INVALID, LocalError):
            FLEET.coordinator(target=3)


class TestCollection:
    def test_what_passes_is_stored_then_receipted_as_one_batch(self):
        party = collecting()

        effects = party.collect(*NAMES[:3])

        (kept,) = changes(effects)
        assert isinstance(kept, KeepAccepted)
        assert [one.device_id for one in kept.contributions] == list(NAMES[:3])
        assert {name: one.status for name, one in receipts(effects).items()} == dict.fromkeys(NAMES[:3], ReceiptStatus.ACCEPTED)
        assert [one.whole_hash for one in receipts(effects).values()] == [one.whole_hash for one in kept.contributions]
        assert kept.total == party.state.total.to_bytes()
        assert set(party.state.accepted) == set(NAMES[:3])

    def test_a_duplicate_gets_its_receipt_again_and_counts_once(self):
        party = collecting()
        sealed = party.sealed(NAMES[0])
        first = party.take(ContributionsArrived(((NAMES[0], sealed),)))
        before = party.state

        again = party.take(ContributionsArrived(((NAMES[0], sealed), (NAMES[0], sealed))))

        assert party.state == before
        assert not changes(again)
        assert receipts(again) == receipts(first)

    @pytest.mark.parametrize("together", [True, False])
    def test_a_second_different_contribution_is_refused_and_the_first_stands(self, together):
        party = collecting()
        first, second = party.sealed(NAMES[0]), party.sealed(NAMES[0], seed=b"again")
        batches = [((NAMES[0], first), (NAMES[0], second))] if together else [((NAMES[0], first),), ((NAMES[0], second),)]

        for batch in batches:
            effects = party.take(ContributionsArrived(batch))

        with refused(Refusal.CONTRIBUTION_SECOND, FaultyDevice):
            raise_refusal(effects)
        assert party.state.accepted[NAMES[0]].whole_hash == sha256(first)
        assert receipts(effects)[NAMES[0]].reason == "contribution-second"

    def test_a_contribution_to_a_full_cohort_is_late(self):
        party = collecting(target=4)

        effects = party.collect(*NAMES[:5])

        assert list(party.state.accepted) == list(NAMES[:4])
        late = receipts(effects)[NAMES[4]]
        assert (late.status, late.reason) == (ReceiptStatus.REFUSED, Refusal.CONTRIBUTION_LATE)
        with refused(Refusal.CONTRIBUTION_LATE, LocalError):
            raise LocalError(Refusal(late.reason), "as the receipt says")

    @pytest.mark.parametrize("ended", [False, True], ids=["decrypting", "ended"])
    def test_after_the_collection_a_receipt_tells_what_was_counted_and_what_came_too_late(self, ended):
        party = collecting()
        sealed = {name: party.sealed(name) for name in NAMES[:6]}
        for name in NAMES[:5]:
            party.take(ContributionsArrived(((name, sealed[name]),)))
        if ended:
            party.take(AbortWanted("x"))

        effects = party.take(ContributionsArrived((*sealed.items(), (NAMES[0], b"other bytes"))))

        told = [open_receipt(decode_signed(effect.data), FLEET.roster.orchestrator) for effect in of(effects, Publish)]
        assert [one.status for one in told] == [*[ReceiptStatus.ACCEPTED] * 5, *[ReceiptStatus.REFUSED] * 2]
        assert [one.whole_hash for one in told[:6]] == [sha256(data) for data in sealed.values()]
        assert {one.reason for one in told[5:]} == {Refusal.CONTRIBUTION_LATE}
        assert not changes(effects)

    def test_contributions_before_any_round_leave_a_note(self):
        assert [type(effect) for effect in OrchestratorMachine(FLEET).take(ContributionsArrived(((NAMES[0], b"x"),)))] == [Note]

    @pytest.mark.parametrize(("target", "closes_at"), [(None, 5), (4, 4), (99, 5)])
    def test_a_round_closes_at_its_target_never_above_k_max(self, target, closes_at):
        party = collecting(target=target)
        for name in NAMES[:closes_at]:
            assert isinstance(party.state, Collecting)
            effects = party.collect(name)
        assert isinstance(party.state, Decrypting)
        assert published(effects, Kind.REQUEST)

    @pytest.mark.parametrize(
        ("reason", "make"),
        [
            (Refusal.SEAL, lambda *_: b"noise"),
            (Refusal.SEAL, lambda party, name: party.sealed(name)[:-1]),
            (Refusal.SEAL, lambda party, _: party.sealed(NAMES[1])),
            (Refusal.CONTRIBUTION_PLAN, lambda party, name: party.fleet.sealed(party.plan, name, party.fleet.body(party.plan, NAMES[1]))),
            (Refusal.CONTRIBUTION_PLAN, lambda party, name: party.fleet.sealed(party.plan, name, party.fleet.body(FLEET.plan(7), name))),
            (
                Refusal.SIGNATURE,
                lambda party, name: party.fleet.sealed(
                    party.plan,
                    name,
                    party.fleet.sign_body(decode(Body, party.fleet.body(party.plan, name).content, max_bytes=LIMITS.body), by=NAMES[1]),
                ),
            ),
            (Refusal.MASKED_VECTOR, lambda party, name: party.fleet.sealed(party.plan, name, party.fleet.body(party.plan, name), b"mask")),
            (
                Refusal.MASKED_VECTOR,
                lambda party, name: party.fleet.sealed(party.plan, name, party.fleet.body(party.plan, name), b"", (b"s",)),
            ),
            (Refusal.MESSAGE_MALFORMED, lambda party, name: sealed_bytes(party, name, b"not a contribution")),
        ],
        ids=["noise", "cut", "another's", "another's body", "another plan", "another's signature", "mask", "shares", "garbage"],
    )
    def test_what_does_not_pass_is_refused_beside_what_does(self, reason, make):
        party = collecting()

        effects = party.take(ContributionsArrived(((NAMES[0], make(party, NAMES[0])), (NAMES[2], party.sealed(NAMES[2])))))

        with refused(reason, PeerError):
            raise_refusal(effects)
        assert set(party.state.accepted) == {NAMES[2]}
        assert receipts(effects)[NAMES[0]].reason == reason
        assert receipts(effects)[NAMES[2]].status is ReceiptStatus.ACCEPTED

    def test_a_device_outside_the_roster_is_refused(self):
        stranger = make_fleet(devices=7).parties.devices["device-07"]
        party = collecting()
        body = Body(party.plan.digest, "device-07", masked_vector_hash(b""), (), b"")
        sealed = party.fleet.sealed(party.plan, "device-07", stranger.signing.sign(Label.BODY, encode(body)))

        effects = party.take(ContributionsArrived((("device-07", sealed),)))

        with refused(Refusal.NOT_ENROLLED, PeerError):
            raise_refusal(effects)
        assert not party.state.accepted

    def test_a_batch_of_nothing_but_garbage_leaves_the_state(self):
        party = collecting()

        effects = party.refuses(Refusal.SEAL, PeerError, ContributionsArrived(tuple((name, b"x") for name in NAMES)))

        assert len(receipts(effects)) == len(NAMES)


def sealed_bytes(party, name, plain):
    recipient = SealingPublicKey(party.fleet.parties.orchestrator.entry.sealing_key)
    return seal(recipient, Label.SEAL_CONTRIBUTION, contribution_seal_context(KEY_ID, party.plan.plan.round, name), plain)


class TestDeadline:
    @pytest.mark.parametrize("count", [0, 3])
    def test_below_k_min_the_collection_goes_on(self, count):
        party = collecting()
        if count:
            party.collect(*NAMES[:count])
        before = party.state

        assert party.take(DeadlinePassed()) == ()
        assert party.state == before
        assert party.state.missing == 4 - count

    def test_a_round_that_is_given_up_says_what_it_had(self):
        party = collecting()
        party.collect(*NAMES[:3])

        record = record_in(party.take(AbortWanted("the operator's word", 4000)))

        assert isinstance(party.state, NoRound)
        assert (record.outcome, record.root, len(record.device_ids)) == (Outcome.ABORTED, b"", 3)
        assert (record.reason, record.duration_ms) == ("the operator's word", 3000)

    def test_with_the_close_the_plan_is_cleared(self):
        party = collecting()
        party.collect(*NAMES[:4])

        assert published(party.take(DeadlinePassed()), Kind.PLAN) == [b""]
        assert published(party.take(Connected()), Kind.PLAN) == [b""]

    def test_with_k_min_the_committee_is_asked(self):
        party = collecting()
        party.collect(*reversed(NAMES[:4]))

        effects = party.take(DeadlinePassed())

        (keep,) = changes(effects)
        assert keep == KeepRequest(1, published(effects, Kind.REQUEST)[0])
        request = decode_decryption_request(keep.request)
        header = open_header(request.header, FLEET.roster.orchestrator)
        assert (header.count, header.root) == (4, cohort_of(party.plan.digest, request.bodies))
        ids = [decode(Body, body.content, max_bytes=LIMITS.body).device_id for body in request.bodies]
        assert ids == sorted(NAMES[:4])

    def test_without_enough_answers_the_round_waits(self):
        party = decrypting()
        with pytest.raises(PhaseError):
            party.take(DeadlinePassed())


class TestAnswers:
    def test_a_quorum_releases_the_model_and_its_record(self):
        party = decrypting()
        for name in NAMES[:2]:
            (answer,) = changes(party.take(AnswerArrived(name, party.answer(name))))
            assert isinstance(answer, KeepReceivedAnswer)

        effects = party.take(AnswerArrived(NAMES[3], party.answer(NAMES[3]), 7000))

        (keep,) = changes(effects)
        record = record_in(effects)
        assert isinstance(keep, KeepOutcome)
        assert party.model.version == record.result.version_after == 1
        assert record.result.model_after == party.model.digest == sha256(keep.archive.files()["after"])
        assert record.device_ids == tuple(sorted(NAMES[:4]))
        assert record.rho_nano == nano_rho(FLEET.plan().plan, FLEET.roster)
        assert (record.duration_ms, record.outcome, type(party.state)) == (6000, Outcome.RELEASED, NoRound)
        assert record.bytes_up > 0
        assert set(keep.archive.files()) == {
            *("roster", "plan", "record", "request", "before", "after"),
            *("answer-1", "answer-2", "answer-4"),
        }

    def test_the_new_model_replaces_the_old_and_the_plan_is_cleared(self):
        party = decrypting(values=np.arange(64))
        before = party.model
        for name in NAMES[:3]:
            effects = party.take(AnswerArrived(name, party.answer(name)))

        models = {effect.topic.digest: effect.data for effect in of(effects, Publish) if effect.topic.kind is Kind.MODEL}
        assert models == {before.digest.hex(): b"", party.model.digest.hex(): party.model.to_bytes()}
        assert published(effects, Kind.PLAN) == [b""]

    def test_an_answer_twice_counts_once(self):
        party = decrypting()
        event = AnswerArrived(NAMES[0], party.answer(NAMES[0]))
        party.take(event)
        before = party.state

        assert party.take(event) == ()
        assert party.state is before

    @pytest.mark.parametrize(
        ("reason", "fields"),
        [
            (Refusal.ANSWER_MEMBER, {"index": 2}),
            (Refusal.ANSWER_ROUND, {"round": 2}),
            (Refusal.ANSWER_ROUND, {"root": bytes(32)}),
            (Refusal.ANSWER_ROUND, {"plan_hash": bytes(32)}),
            (Refusal.ANSWER_ROUND, {"key_id": bytes(32)}),
            (Refusal.PARTIAL_INVALID, {"items": ()}),
            (Refusal.PARTIAL_INVALID, {"proof": b""}),
            (Refusal.PARTIAL_INVALID, {"items": (bytes(64),) * 2}),
        ],
        ids=str,
    )
    def test_a_wrong_answer_names_the_member_and_a_right_one_is_still_taken(self, reason, fields):
        party = decrypting()

        effects = party.refuses(reason, FaultyMember, party.reseal(NAMES[0], **fields))

        assert effects[0].error.index == 1
        party.take(AnswerArrived(NAMES[0], party.answer(NAMES[0])))
        assert set(party.state.answers) == {1}

    def test_an_answer_of_a_device_outside_the_committee_is_refused(self):
        party = decrypting()

        party.refuses(Refusal.NOT_ENROLLED, PeerError, AnswerArrived(NAMES[5], party.answer(NAMES[0])))

    def test_an_answer_of_another_member_under_this_name_does_not_open(self):
        party = decrypting()

        party.refuses(Refusal.SEAL, PeerError, AnswerArrived(NAMES[1], party.answer(NAMES[0])))

    def test_an_answer_that_another_member_signed_is_refused(self):
        party = decrypting()

        party.refuses(Refusal.SIGNATURE, PeerError, party.reseal(NAMES[0], by=NAMES[1]))

    def test_an_answer_that_opens_no_sum_is_dropped_and_three_others_still_open_it(self):
        party = decrypting()
        party.take(party.reseal(NAMES[0], items=(bytes(63) + b"\x02",) * 2))
        party.take(AnswerArrived(NAMES[1], party.answer(NAMES[1])))

        effects = party.take(AnswerArrived(NAMES[2], party.answer(NAMES[2])))

        with refused(Refusal.PARTIAL_PROOF, FaultyMember):
            raise_refusal(effects)
        assert set(party.state.answers) == {2, 3}
        kept, dropped = changes(effects)
        assert (kept.index, dropped) == (3, DropReceivedAnswer(1, 1)), "what is stored is what the round goes on with"
        party.take(AnswerArrived(NAMES[3], party.answer(NAMES[3])))
        assert party.model.version == 1

    def test_a_member_that_was_named_is_not_opened_again_in_this_round(self):
        party = decrypting()
        party.take(party.reseal(NAMES[0], items=(bytes(63) + b"\x02",) * 2))
        for name in NAMES[1:3]:
            party.take(AnswerArrived(name, party.answer(name)))
        before = party.state

        assert party.take(AnswerArrived(NAMES[0], party.answer(NAMES[0]))) == ()
        assert party.state is before
        assert before.refuted == {1}

    def test_more_faulty_members_than_the_committee_allows_end_the_round(self):
        """Beyond f the fault may be the orchestrator's own sum, and honest members would be named for it."""
        party = decrypting()
        for place, name in enumerate(NAMES[:2], start=1):
            party.take(party.reseal(name, place, items=(bytes(63) + b"\x02",) * 2))

        effects = party.take(AnswerArrived(NAMES[2], party.answer(NAMES[2])))

        assert [effect.error.index for effect in of(effects, Refused) if isinstance(effect.error, FaultyMember)] == [1, 2]
        assert (record_in(effects).outcome, record_in(effects).reason) == (Outcome.ABORTED, Refusal.COMBINE_RESIDUE)
        assert isinstance(party.state, NoRound)


class TestRelease:
    def opened(self, party):
        for name in NAMES[:3]:
            effects = party.take(AnswerArrived(name, party.answer(name)))
        return effects

    def aborted(self, reason, party):
        before = party.model
        effects = self.opened(party)
        with refused(reason, PeerError):
            raise_refusal(effects)
        record = record_in(effects)
        assert (record.outcome, record.reason, type(party.state)) == (Outcome.ABORTED, reason, NoRound)
        assert party.model is before
        assert record.result.model_after == record.result.model_before == before.digest
        assert not published(effects, Kind.MODEL)

    def test_a_sum_that_no_honest_cohort_can_give_aborts(self):
        self.aborted(Refusal.RELEASE_NORM, decrypting(values=np.full(64, 500)))

    def test_a_sum_that_overflows_its_slots_aborts(self):
        party = collecting()
        party.collect(*NAMES[:3])
        party.take(ContributionsArrived(((NAMES[3], self.overflowing(party, NAMES[3])),)))
        party.take(DeadlinePassed())

        self.aborted(Refusal.SUM_REMAINDER, party)

    def overflowing(self, party, name):
        """A contribution with a good proof whose plaintext has a rest beyond its last slot."""
        terms, randomness = party.state.terms, SeededRandomness(b"overflow")
        plaintexts = [1 << 505, 0]
        encryption = encrypt(key_of(terms), plaintexts, randomness)
        context = knowledge_context(terms, name, masked_vector_hash(b""))
        proof = prove(key_of(terms), encryption, plaintexts, context, randomness).to_bytes(key_of(terms))
        items = tuple(value.to_bytes(key_of(terms).ciphertext_bytes, "big") for value in encryption.ciphertexts)
        body = Body(party.plan.digest, name, masked_vector_hash(b""), items, proof)
        return party.fleet.sealed(party.plan, name, party.fleet.sign_body(body))

    def test_a_model_that_the_policy_forbids_aborts(self):
        optimizer = OptimizerSettings("fedavg", (("learning_rate", 1e6),))
        party = collecting(replace(FLEET, job=replace(FLEET.job, task=replace(FLEET.job.task, optimizer=optimizer))))
        party.collect(*NAMES[:4], values=np.arange(64))
        party.take(DeadlinePassed())

        self.aborted(Refusal.MODEL_TOO_LARGE, party)

    def test_the_next_round_starts_after_an_abort(self):
        party = decrypting(values=np.full(64, 500))
        self.opened(party)

        party.take(RoundWanted())

        assert (party.plan.plan.round, party.plan.plan.task.model_version, type(party.state), party.state.accepted) == (
            2,
            0,
            Collecting,
            {},
        )


class TestRoster:
    def test_a_new_roster_aborts_the_round_and_comes_into_force(self):
        party, newer = collecting(), FLEET.without("device-06")
        party.collect(*NAMES[:2])

        effects = party.take(RosterArrived(encode_signed(newer.roster.signed)))

        assert [type(change) for change in changes(effects)] == [KeepOutcome, KeepRoster]
        assert record_in(effects).reason == "a new roster"
        assert (type(party.state), party.state.memory.roster.digest) == (NoRound, newer.roster.digest)
        party.take(RoundWanted())
        assert party.plan.plan.roster_hash == newer.roster.digest

    def test_the_old_roster_is_cleared_and_the_new_one_published(self):
        party = OrchestratorMachine(FLEET)

        effects = party.take(RosterArrived(encode_signed(FLEET.newer().roster.signed)))

        topics = [(effect.topic.number, bool(effect.data)) for effect in of(effects, Publish) if effect.topic.kind is Kind.ROSTER]
        assert topics == [(2, True), (1, False)]

    def test_the_roster_in_force_again_does_not_abort(self):
        party = collecting()

        assert party.take(RosterArrived(encode_signed(FLEET.roster.signed))) == ()
        assert isinstance(party.state, Collecting)

    def test_an_older_roster_changes_nothing(self):
        party = collecting(FLEET.newer())

        party.refuses(Refusal.ROSTER_OLDER, FaultyOwner, RosterArrived(encode_signed(FLEET.roster.signed)))


class TestConnected:
    def kinds(self, party):
        return [(effect.topic.kind, effect.topic.number, bool(effect.data)) for effect in party.take(Connected())]

    def test_an_idle_orchestrator_publishes_roster_and_model_and_clears_any_plan(self):
        assert self.kinds(OrchestratorMachine(FLEET)) == [(Kind.ROSTER, 1, True), (Kind.MODEL, None, True), (Kind.PLAN, None, False)]

    def test_a_round_under_way_is_published_again(self):
        party = collecting()

        assert self.kinds(party) == [(Kind.ROSTER, 1, True), (Kind.MODEL, None, True), (Kind.PLAN, None, True)]

    def test_a_request_goes_out_again_byte_for_byte(self):
        party = decrypting()

        assert published(party.take(Connected()), Kind.REQUEST) == [encode(party.state.request)]

    def test_the_latest_record_stands_under_its_own_round(self):
        party = collecting()
        party.take(AbortWanted("no reason"))
        party.take(RoundWanted())

        assert (Kind.RECORD, 1, True) in self.kinds(party)

    def test_the_latest_record_outlives_its_key(self):
        party = collecting()
        party.take(AbortWanted("no reason"))
        party.take(RosterArrived(encode_signed(FLEET.newer(key_epoch=1).roster.signed)))

        assert (Kind.RECORD, 1, True) in self.kinds(party)

    def test_only_the_latest_record_stays_retained(self):
        party = collecting()
        party.take(AbortWanted("first"))
        party.take(RoundWanted())

        effects = party.take(AbortWanted("second"))

        records = [(effect.topic.number, bool(effect.data)) for effect in of(effects, Publish) if effect.topic.kind is Kind.RECORD]
        assert records == [(1, False), (2, True)]


class TestAbort:
    @pytest.mark.parametrize("start", [collecting, decrypting])
    def test_giving_up_is_an_ordinary_outcome(self, start):
        party = start()

        effects = party.take(AbortWanted("the operator said so", 3000))

        record = record_in(effects)
        assert (record.outcome, record.reason, record.duration_ms) == (Outcome.ABORTED, "the operator said so", 2000)
        assert isinstance(changes(effects)[0], KeepOutcome)
        assert published(effects, Kind.PLAN) == [b""]
        assert isinstance(party.state, NoRound)


ILLEGAL = {
    NoRound: [AnswerArrived(NAMES[0], b""), DeadlinePassed(), AbortWanted("x"), object()],
    Collecting: [RoundWanted(), AnswerArrived(NAMES[0], b""), object()],
    Decrypting: [RoundWanted(), object()],
}


@pytest.mark.parametrize(("phase", "event"), [(phase, event) for phase, events in ILLEGAL.items() for event in events])
def test_an_event_at_the_wrong_time_raises_and_leaves_the_state(phase, event):
    party = {NoRound: lambda: OrchestratorMachine(FLEET), Collecting: collecting, Decrypting: decrypting}[phase]()
    before = party.state

    with refused(Refusal.PHASE, PhaseError):
        party.take(event)
    assert party.state is before


def test_without_noise_the_released_model_is_plain_fedavg_within_the_rounding():
    machines = Machines(SILENT)
    updates = {name: update_of(b"common", norm=0.8) + update_of(name.encode(), norm=0.2) for name in NAMES[:5]}

    machines.run_round(updates)

    plan = SILENT.plan().plan
    mean = SILENT.model.parameters.astype(float) + np.mean(list(updates.values()), axis=0)
    # Each device's rounding moves each of the 64 coordinates by less than one step.
    assert np.linalg.norm(own(machines.coordinator.state.memory.progress).model.parameters - mean) < np.sqrt(64) / plan.scale + 1e-5
    assert np.linalg.norm(SILENT.model.parameters - mean) > np.sqrt(64) / plan.scale


def test_momentum_is_carried_from_round_to_round_and_through_aborts():
    task = replace(SILENT.job.task, optimizer=OptimizerSettings("fedavgm", (("momentum", 0.5),)))
    fleet = replace(SILENT, job=replace(SILENT.job, task=task))
    machines, constant = Machines(fleet), np.full(10, 0.25)

    machines.run_round(dict.fromkeys(NAMES[:4], constant))
    machines.start()
    machines.orchestrate(AbortWanted("in between"))
    machines.run_round(dict.fromkeys(NAMES[:4], constant))

    moved = own(machines.coordinator.state.memory.progress).model.parameters - fleet.model.parameters
    assert np.linalg.norm(moved - (1 + 1.5) * constant) < np.linalg.norm(moved - 2 * constant) / 4


def test_the_noise_of_every_contributor_is_in_the_sum():
    machines = Machines(FLEET)
    n, rounds, seen = FLEET.plan().plan.privacy, 25, []
    for _ in range(rounds):
        before = own(machines.coordinator.state.memory.progress).model.parameters
        machines.run_round(dict.fromkeys(NAMES[:4]))
        seen.append((own(machines.coordinator.state.memory.progress).model.parameters - before) * 4 * FLEET.plan().plan.scale)

    # The rotation is orthogonal, so each of the 250 values has the variance of a sum of four noises.
    measured = np.mean(np.square(seen)) / (4 * n.variance)
    assert 0.65 < measured < 1.45


def test_a_model_that_is_not_approved_reaches_nobody():
    def strict(before, after):
        assert before == FLEET.model
        raise PeerError(Refusal.HOLDOUT_GATE, f"version {after.version} is worse")

    party = decrypting()
    party.machine = replace(party.machine, job=replace(party.machine.job, task=replace(party.machine.job.task, approve_model=strict)))
    effects = [effect for name in NAMES[:3] for effect in party.take(AnswerArrived(name, party.answer(name)))]

    assert party.model == FLEET.model
    assert not published(effects, Kind.MODEL)
    record = record_in(effects)
    assert (record.outcome, record.reason) == (Outcome.ABORTED, "holdout-gate")
    with refused(Refusal.HOLDOUT_GATE, PeerError):
        raise_refusal(effects)
