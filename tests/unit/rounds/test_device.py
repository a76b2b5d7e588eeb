from dataclasses import replace
from itertools import count

import msgspec
import numpy as np
import pytest

from hushfleet.codec import decode, encode
from hushfleet.documents import Header, Receipt, ReceiptStatus, is_selected, sign_receipt
from hushfleet.encryption.paillier.packing import unpack
from hushfleet.errors import BudgetError, DataError, FaultyOrchestrator, FaultyOwner, LocalError, PeerError, PhaseError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.privacy import Ledger
from hushfleet.privacy.ledger import Participation
from hushfleet.randomness import SeededRandomness, SystemRandomness
from hushfleet.rounds.device import DeviceMemory, Fetching, Idle, Preparing, Unenrolled, Working
from hushfleet.rounds.effects import (
    Alert,
    DoTask,
    DropContribution,
    Fetch,
    KeepContribution,
    KeepRoster,
    KeepSeen,
    KeepStop,
    Note,
    Persist,
    Prepare,
)
from hushfleet.rounds.events import (
    Connected,
    EvidenceArrived,
    Fetched,
    PlanArrived,
    Prepared,
    ReceiptArrived,
    RosterArrived,
    TaskDone,
)
from hushfleet.rounds.plan_check import nano_rho
from hushfleet.signing import Signed
from hushfleet.training import GlobalModel, LocalUpdate
from hushfleet.wire import Body, Evidence, Kind, encode_signed
from hushfleet.wire.limits import LIMITS
from tests.support.keys import load
from tests.support.paillier import phe_decrypt
from tests.support.refusals import refused
from tests.support.world import changes, make_world, of, published, raise_refusal, update_of, without_privacy

WORLD = make_world()
DEVICE = WORLD.device()
NAME = DEVICE.device_id
START = WORLD.device_state()


def step(state, event, device=DEVICE):
    return device.step(state, event, SeededRandomness(b"device"))


def arrived(plan):
    return PlanArrived(encode_signed(plan.signed))


def roster_of(world):
    return RosterArrived(encode_signed(world.roster.signed))


def fetching(plan, state=START, device=DEVICE):
    """A device that waits for the model of `plan`."""
    state, effects = step(state, arrived(plan), device)
    (prepare,) = of(effects, Prepare)
    return step(state, Prepared(prepare.plan_hash), device)[0]


def training(world=WORLD, plan=None, state=None, device=DEVICE):
    """A device that has been told to train for `plan`."""
    state = fetching(plan or world.plan(), state or world.device_state(), device)
    state, effects = step(state, Fetched(world.model.to_bytes()), device)
    return state, of(effects, DoTask)[0]


def contributed(world=WORLD, plan=None, update=None, device=DEVICE):
    """The state and effects after a contribution."""
    state, train = training(world, plan, device=device)
    return step(state, TaskDone(train.plan_hash, None if update is None else LocalUpdate(update), "test"), device)


def sent_by(effects):
    return published(effects, Kind.CONTRIBUTION)[0]


def receipt(plan, whole, status=ReceiptStatus.ACCEPTED, *, device=NAME, reason="", **fields: object):
    honest = Receipt(plan.plan.fleet, device, plan.plan.key_id, plan.plan.round, sha256(whole), status, (), reason)
    return ReceiptArrived(encode_signed(sign_receipt(msgspec.structs.replace(honest, **fields), WORLD.parties.orchestrator.signing)))


def assert_refused(reason, kind, state, event, device=DEVICE):
    """The event is refused; the new state comes back."""
    after, effects = step(state, event, device)
    with refused(reason, kind):
        raise_refusal(effects)
    return after


class TestPlan:
    def test_an_acceptable_plan_is_recorded_and_its_model_fetched(self):
        plan = WORLD.plan()

        state, effects = step(START, arrived(plan))

        assert isinstance(state, Preparing)
        assert effects == (Persist((KeepSeen(plan.plan.key_id, 1),)), Prepare(plan.digest, plan.plan.task, plan.plan.dimension))
        assert step(state, Prepared(plan.digest))[1] == (Fetch(WORLD.model.digest),)

    @pytest.mark.parametrize("wrong", [{"local_steps": 10**6}, {"selection": 0}], ids=["refused", "not asked"])
    def test_a_later_round_ends_work_for_an_earlier_one_whatever_becomes_of_it(self, wrong):
        state, train = training()

        state, effects = step(state, arrived(WORLD.plan(2, **wrong)))

        assert isinstance(state, Idle)
        assert KeepSeen(WORLD.roster.key_id, 2) in changes(effects)
        with refused(Refusal.PHASE, PhaseError):
            step(state, TaskDone(train.plan_hash, None, "test"))

    def test_the_same_plan_again_changes_nothing(self):
        state, _ = step(START, arrived(WORLD.plan()))

        assert step(state, arrived(WORLD.plan())) == (state, ())

    def test_a_plan_that_another_key_signed_is_refused_without_a_trace(self):
        plan = replace(WORLD.parties.orchestrator, signing=WORLD.parties.devices[NAME].signing)
        forged = replace(WORLD, parties=replace(WORLD.parties, orchestrator=plan)).signed(WORLD.plan().plan)

        assert assert_refused(Refusal.SIGNATURE, PeerError, START, arrived(forged)) is START

    def test_without_a_roster_nothing_is_judged(self):
        with refused(Refusal.PHASE, PhaseError):
            step(Unenrolled(DeviceMemory(Ledger())), arrived(WORLD.plan()))

    def test_a_round_below_one_already_seen_is_refused_without_a_trace(self):
        state, _ = step(START, arrived(WORLD.plan(3, scheme="unknown")))
        assert state.memory.seen == {WORLD.roster.key_id: 3}

        assert assert_refused(Refusal.PLAN_ROUND_STALE, FaultyOrchestrator, state, arrived(WORLD.plan(2))) is state

    def test_a_round_contributed_to_is_refused_whatever_its_plan_says(self):
        state, _ = contributed()

        after = assert_refused(Refusal.PLAN_ROUND_REPEATED, FaultyOrchestrator, state, arrived(WORLD.plan(1, deadline_s=601)))
        assert after == state

    def test_a_round_below_one_contributed_to_is_refused_even_if_nothing_was_seen(self):
        state, _ = contributed(plan=WORLD.plan(5))
        forgetful = replace(state, memory=replace(state.memory, seen={}))

        assert_refused(Refusal.PLAN_ROUND_REPEATED, FaultyOrchestrator, forgetful, arrived(WORLD.plan(4)))

    def test_a_policy_breach_is_recorded_as_seen_and_refused(self):
        event = arrived(WORLD.plan(variance=16))

        state, effects = step(START, event)

        assert changes(effects) == [KeepSeen(WORLD.roster.key_id, 1)]
        assert_refused(Refusal.PLAN_NOISE, FaultyOrchestrator, START, event)
        assert state == replace(WORLD.device_state(seen={WORLD.roster.key_id: 1}), out=Refusal.PLAN_NOISE)

    def test_the_reason_for_staying_out_is_kept_until_the_next_plan(self):
        state, _ = step(START, arrived(WORLD.plan(variance=16)))
        assert state.out is Refusal.PLAN_NOISE

        state, _ = step(state, arrived(WORLD.plan(2, selection=0)))
        assert state.out is None

    def test_what_a_device_without_budget_says_of_itself(self):
        ledger = Ledger((Participation(WORLD.roster.key_id, 1, WORLD.roster.policy.budget_nano_rho),))

        state, effects = step(WORLD.device_state(ledger=ledger), arrived(WORLD.plan(2)))

        assert state.out is Refusal.BUDGET_EXHAUSTED
        with refused(Refusal.BUDGET_EXHAUSTED, BudgetError):
            raise_refusal(effects)

    def test_a_reason_that_could_follow_from_data_is_not_kept_for_the_status(self):
        state, _ = step(START, arrived(WORLD.plan()))

        after, _ = step(state, Prepared(WORLD.plan().digest, DataError(Refusal.DATA_EMPTY, "no rows")))

        assert isinstance(after, Idle)
        assert after.out is None

    def test_a_device_that_the_roster_does_not_name_is_refused(self):
        world = WORLD.without(NAME)

        assert_refused(Refusal.NOT_ENROLLED, PeerError, world.device_state(), arrived(world.plan()))

    def test_a_device_without_the_plans_trainer_is_out_and_pays_nothing(self):
        state, _ = step(START, arrived(WORLD.plan()))
        problem = LocalError(Refusal.MODEL_ABSENT, "there is no trainer here")

        after = assert_refused(Refusal.MODEL_ABSENT, LocalError, state, Prepared(WORLD.plan().digest, problem))

        assert isinstance(after, Idle)
        assert after.out is Refusal.MODEL_ABSENT
        assert after.memory.ledger == START.memory.ledger

    def test_what_was_prepared_for_an_earlier_plan_changes_nothing(self):
        state, _ = step(START, arrived(WORLD.plan()))

        assert step(state, Prepared(bytes(32))) == (state, ())

    def test_a_device_that_is_not_selected_notes_it_and_stays_idle(self):
        plan = next(p for p in (WORLD.plan(n, selection=30_000) for n in count(1)) if not is_selected(p, NAME))

        state, effects = step(START, arrived(plan))

        assert (type(state), of(effects, Prepare)) == (Idle, [])
        assert "not asked" in of(effects, Note)[0].text
        assert changes(effects) == [KeepSeen(plan.plan.key_id, plan.plan.round)]

    def test_a_device_that_is_selected_takes_part(self):
        plan = next(p for p in (WORLD.plan(n, selection=30_000) for n in count(1)) if is_selected(p, NAME))

        assert isinstance(step(START, arrived(plan))[0], Preparing)

    @pytest.mark.parametrize("phase", ["fetching", "training"])
    def test_a_later_plan_supersedes_the_one_under_way(self, phase):
        state = step(START, arrived(WORLD.plan(1)))[0] if phase == "fetching" else training()[0]

        state, effects = step(state, arrived(WORLD.plan(2)))

        assert (type(state), state.terms.plan.round) == (Preparing, 2)
        assert len(of(effects, Prepare)) == 1


class TestBudget:
    COST = nano_rho(WORLD.plan().plan, WORLD.roster)

    def world(self, budget):
        return make_world(policy={"budget_nano_rho": budget})

    def test_the_last_affordable_round_is_charged_and_the_next_refused_with_nothing_changed(self):
        world = self.world(2 * self.COST)
        state, device = world.device_state(), world.device()
        for number in (1, 2):
            state, train = training(world, world.plan(number), state, device)
            state, _ = step(state, TaskDone(train.plan_hash, None), device)
        assert state.memory.ledger.spent_nano == 2 * self.COST

        after, effects = step(state, arrived(world.plan(3)), device)

        with refused(Refusal.BUDGET_EXHAUSTED, BudgetError):
            raise_refusal(effects)
        remembered = replace(state.memory, seen={world.roster.key_id: 3})
        assert after == replace(state, memory=remembered, out=Refusal.BUDGET_EXHAUSTED)
        assert changes(effects) == [KeepSeen(world.roster.key_id, 3)]
        assert not of(effects, Prepare)

    @pytest.mark.parametrize(("missing", "phase"), [(0, Preparing), (1, Idle)])
    def test_one_nano_rho_decides(self, missing, phase):
        world = self.world(self.COST - missing)

        assert type(step(world.device_state(), arrived(world.plan()), world.device())[0]) is phase

    def test_what_was_spent_under_another_key_counts(self):
        world = self.world(2 * self.COST - 1)
        state, _ = contributed(world, device=world.device())
        newer = world.newer(key_epoch=1)
        state, _ = step(state, roster_of(newer), world.device())

        assert_refused(Refusal.BUDGET_EXHAUSTED, BudgetError, state, arrived(newer.plan()), world.device())

    def test_a_plan_without_privacy_costs_nothing_and_is_recorded(self):
        world = without_privacy(self.world(0))

        state, _ = contributed(world)

        assert (state.memory.ledger.spent_nano, state.memory.ledger.without_privacy) == (0, True)
        assert_refused(Refusal.PLAN_ROUND_REPEATED, FaultyOrchestrator, state, arrived(world.plan(deadline_s=601)))


class TestRoster:
    def test_a_plan_that_names_a_newer_roster_waits_unrecorded_and_is_judged_when_that_comes(self):
        newer = WORLD.newer()

        waiting, effects = step(START, arrived(newer.plan()))
        assert (waiting.waiting is not None, waiting.memory.seen, changes(effects)) == (True, {}, [])
        state, effects = step(waiting, roster_of(newer))

        assert (type(state), state.waiting) == (Preparing, None)
        assert changes(effects) == [KeepRoster(newer.roster.signed), KeepSeen(newer.roster.key_id, 1)]

    def test_a_roster_on_the_way_to_the_plans_leaves_it_waiting(self):
        newest = WORLD.newer(serial=7)
        waiting, _ = step(START, arrived(newest.plan()))

        state, _ = step(waiting, roster_of(WORLD.newer(serial=4)))

        assert state.waiting == waiting.waiting
        assert isinstance(step(state, roster_of(newest))[0], Preparing)

    def test_a_waiting_plan_that_is_then_refused_does_not_keep_the_roster_out(self):
        newer = WORLD.newer(policy=msgspec.structs.replace(WORLD.policy, min_devices=5))
        waiting, _ = step(START, arrived(newer.plan()))

        state, effects = step(waiting, roster_of(newer))

        assert (state.roster.digest, type(state), state.waiting) == (newer.roster.digest, Idle, None)
        assert KeepRoster(newer.roster.signed) in changes(effects)
        with refused(Refusal.PLAN_COHORT_FLOOR, FaultyOrchestrator):
            raise_refusal(effects)

    def test_a_roster_with_another_orchestrator_gets_through_a_plan_of_the_old_one(self):
        other = make_world(seed=b"another orchestrator").parties.orchestrator
        newer = WORLD.newer(parties=replace(WORLD.parties, orchestrator=other))
        waiting, _ = step(START, arrived(WORLD.plan(roster_serial=2, roster_hash=bytes(32))))

        state, effects = step(waiting, roster_of(newer))

        assert state.roster.digest == newer.roster.digest
        with refused(Refusal.SIGNATURE, PeerError):
            raise_refusal(effects)

    def test_a_device_with_a_newer_roster_stays_out_unrecorded(self):
        state, _ = step(START, roster_of(WORLD.newer()))

        after, effects = step(state, arrived(WORLD.plan()))

        assert (after, [type(effect) for effect in effects]) == (replace(state, out=Refusal.PLAN_ROSTER), [Note])

    @pytest.mark.parametrize("phase", [Preparing, Working])
    def test_a_roster_replaced_in_mid_round_ends_it(self, phase):
        state = step(START, arrived(WORLD.plan()))[0] if phase is Preparing else training()[0]

        after, effects = step(state, roster_of(WORLD.newer()))

        assert isinstance(after, Idle)
        assert changes(effects) == [KeepRoster(WORLD.newer().roster.signed)]
        with refused(Refusal.PHASE, PhaseError):
            step(after, TaskDone(WORLD.plan().digest, None))

    def test_what_was_sent_is_sent_again_under_a_newer_roster(self):
        state, effects = contributed()

        after, _ = step(state, roster_of(WORLD.newer()))

        assert isinstance(after, Idle)
        assert sent_by(step(after, Connected())[1]) == sent_by(effects)

    def test_the_roster_in_force_again_is_no_news(self):
        assert step(START, roster_of(WORLD)) == (START, ())

    def test_the_first_roster_is_kept(self):
        state, effects = step(Unenrolled(DeviceMemory(Ledger())), roster_of(WORLD))

        assert (state.roster.digest, changes(effects)) == (WORLD.roster.digest, [KeepRoster(WORLD.roster.signed)])

    def test_an_older_roster_is_refused(self):
        state = WORLD.newer().device_state()

        assert assert_refused(Refusal.ROSTER_OLDER, FaultyOwner, state, roster_of(WORLD)) is state

    def test_two_rosters_of_one_serial_raise_the_alarm_and_stop_the_device_until_the_next_deal(self):
        twin = replace(WORLD, policy=msgspec.structs.replace(WORLD.policy, max_values=999))
        working, _ = step(START, arrived(WORLD.plan()))

        state = assert_refused(Refusal.ROSTER_CONFLICT, FaultyOwner, working, roster_of(twin))
        effects = step(working, roster_of(twin))[1]

        assert of(effects, Alert)
        (keep,) = changes(effects)
        assert (keep.key_id, keep.reason) == (WORLD.roster.key_id, Refusal.ROSTER_CONFLICT)
        assert [one in keep.evidence for one in (WORLD.roster.signed.signature, twin.roster.signed.signature)] == [True, True]
        assert (state.roster, type(state)) == (WORLD.roster, Idle)
        assert_refused(Refusal.EQUIVOCATION, FaultyOrchestrator, state, arrived(WORLD.plan(2)))
        newer = WORLD.newer(key_epoch=1)
        state, _ = step(state, roster_of(newer))
        assert isinstance(step(state, arrived(newer.plan()))[0], Preparing)

    def test_a_roster_that_the_root_key_did_not_sign_is_refused(self):
        signed = WORLD.parties.orchestrator.signing.sign(Label.ROSTER, WORLD.newer().roster.signed.content)

        assert assert_refused(Refusal.SIGNATURE, PeerError, START, RosterArrived(encode_signed(signed))) is START


class TestModel:
    @pytest.fixture
    def waiting(self):
        return fetching(WORLD.plan())

    def test_the_plans_parameters_start_its_training(self, waiting):
        state, effects = step(waiting, Fetched(WORLD.model.to_bytes()))

        (train,) = effects
        assert isinstance(state, Working)
        assert (train.plan_hash, train.task, train.model) == (WORLD.plan().digest, WORLD.plan().plan.task, WORLD.model)

    @pytest.mark.parametrize("data", [b"", bytes(40), bytes(41)], ids=len)
    def test_bytes_of_another_hash_are_refused_and_the_right_ones_still_expected(self, waiting, data):
        assert assert_refused(Refusal.MODEL_HASH, FaultyOrchestrator, waiting, Fetched(data)) is waiting

    @pytest.mark.parametrize(
        ("reason", "values"),
        [
            (Refusal.MODEL_SHAPE, np.zeros(9)),
            (Refusal.MODEL_SHAPE, np.zeros(11)),
            (Refusal.MODEL_NOT_FINITE, np.array([0] * 9 + [np.nan])),
            (Refusal.MODEL_NOT_FINITE, np.array([-np.inf] + [0] * 9)),
            (Refusal.MODEL_TOO_LARGE, np.array([0] * 9 + [-10000.001])),
        ],
    )
    def test_parameters_that_the_policy_forbids_end_the_round(self, reason, values):
        data = values.astype("<f4").tobytes()
        after = assert_refused(reason, PeerError, fetching(WORLD.plan(parameter_hash=sha256(data))), Fetched(data))

        assert (type(after), after.memory.ledger) == (Idle, START.memory.ledger)

    def test_the_largest_allowed_parameter_passes(self):
        model = GlobalModel(0, np.full(10, 1e4))

        assert isinstance(training(replace(WORLD, model=model))[0], Working)

    def test_a_model_that_nobody_asked_for_is_a_phase_error(self):
        with refused(Refusal.PHASE, PhaseError):
            step(START, Fetched(WORLD.model.to_bytes()))


class TestContribution:
    def test_the_charge_and_the_finished_bytes_are_one_change_before_the_first_byte(self):
        state, effects = contributed(update=update_of(b"u"))

        persist, publish = effects
        (keep,) = persist.changes
        assert isinstance(keep, KeepContribution)
        assert keep.sealed == publish.data == state.memory.sent.sealed
        assert keep.entry == state.memory.ledger.events[-1]
        assert (keep.entry.rho_nano, keep.entry.round_number) == (TestBudget.COST, 1)
        assert isinstance(state, Idle)

    def test_the_body_is_signed_and_bound_to_plan_and_device(self):
        _, effects = contributed(update=update_of(b"u"))

        body = decode(Body, WORLD.unsealed(WORLD.plan(), NAME, sent_by(effects)).body.content, max_bytes=LIMITS.body)

        assert (body.plan_hash, body.device_id) == (WORLD.plan().digest, NAME)

    def test_training_for_an_earlier_plan_is_dropped(self):
        state, _ = training(plan=WORLD.plan(2))

        after, effects = step(state, TaskDone(WORLD.plan(1).digest, LocalUpdate(update_of(b"old"))))

        assert (after, [type(effect) for effect in effects]) == (state, [Note])

    @pytest.mark.parametrize(
        "update",
        [
            None,
            np.full(10, np.nan),
            np.full(10, np.inf),
            np.array([1.0] * 9 + [-np.inf]),
            np.full(10, 1e308),
            np.full(10, 5e-324),
            np.zeros(10),
            np.ones(11),
            np.ones(500),
            update_of(b"good"),
        ],
        ids=["no data", "nan", "inf", "one inf", "huge", "tiny", "zero", "too long", "far too long", "good"],
    )
    def test_whatever_the_data_the_device_contributes_at_the_same_cost(self, update):
        state, effects = contributed(update=update)

        assert state.memory.ledger.spent_nano == TestBudget.COST
        assert len(sent_by(effects)) == len(sent_by(contributed(update=update_of(b"another"))[1]))

    def test_the_reason_for_a_zero_stays_in_a_note(self):
        state, train = training()

        _, effects = step(state, TaskDone(train.plan_hash, None, "row 17 holds a NaN"))

        assert "row 17 holds a NaN" in of(effects, Note)[0].text
        assert b"row 17" not in sent_by(effects)
        assert not any(b"row 17" in encode(value) for value in (WORLD.unsealed(WORLD.plan(), NAME, sent_by(effects)),))

    @pytest.mark.parametrize("update", [None, np.full(10, np.nan), np.ones(11)], ids=["no update", "nan", "too long"])
    def test_a_zero_carries_full_noise(self, update, opened_update):
        values = opened_update(WORLD, update)

        variance = WORLD.plan().plan.privacy.variance
        assert 0.75 * variance < np.mean(values.astype(float) ** 2) < 1.3 * variance

    def test_a_good_update_is_clipped_to_the_plans_norm(self, opened_update):
        silent = without_privacy(WORLD)
        plan = silent.plan().plan

        values = opened_update(silent, 1e6 * update_of(b"large"))

        assert int(values @ values) <= plan.privacy.b2 * 20
        assert np.sqrt(float(values @ values) / 20) == pytest.approx(plan.scale * plan.clip_norm, rel=0.05)

    @pytest.mark.parametrize("power", [-1000, 0, 1000])
    def test_an_extreme_clip_norm_does_not_make_participation_depend_on_data(self, power):
        plan = WORLD.plan(scale=28 * 2.0**-power, clip_norm=2.0**power)
        for update in (None, np.zeros(10), np.full(10, 1e-320), update_of(b"u"), np.full(10, 1e300), np.full(10, np.nan)):
            state, effects = contributed(plan=plan, update=update)
            assert len(sent_by(effects)) > 0
            assert state.memory.ledger.spent_nano == TestBudget.COST

    def test_two_contributions_to_one_plan_differ_in_every_ciphertext(self):
        state, train = training()
        event, bodies = TaskDone(train.plan_hash, LocalUpdate(update_of(b"u"))), []
        for _ in range(2):
            sealed = sent_by(DEVICE.step(state, event, SystemRandomness())[1])
            bodies.append(decode(Body, WORLD.unsealed(WORLD.plan(), NAME, sealed).body.content, max_bytes=LIMITS.body))

        assert not set(bodies[0].items) & set(bodies[1].items)


@pytest.fixture
def opened_update():
    """What a device encrypted, over 20 contributions to as many rounds."""

    def opened(world, update):
        key, parts = load("insecure-512"), []
        for number in range(1, 21):
            plan = world.plan(number)
            sealed = sent_by(contributed(world, plan, update)[1])
            body = decode(Body, world.unsealed(plan, NAME, sealed).body.content, max_bytes=LIMITS.body)
            plain = phe_decrypt(key, [int.from_bytes(item, "big") for item in body.items])
            parts.append(unpack(plain, world.terms(plan).length, plan.plan.privacy.slot_bits, key.public))
        return np.concatenate(parts)

    return opened


class TestReceipt:
    @pytest.fixture
    def sent(self):
        state, effects = contributed()
        return state, sent_by(effects)

    @pytest.mark.parametrize("status", [ReceiptStatus.ACCEPTED, ReceiptStatus.REFUSED])
    def test_a_final_receipt_lets_the_bytes_go_and_keeps_the_charge(self, sent, status):
        state, sealed = sent

        after, effects = step(state, receipt(WORLD.plan(), sealed, status, reason="generic"))

        assert (type(after), after.memory.sent, after.memory.ledger) == (Idle, None, state.memory.ledger)
        assert changes(effects) == [DropContribution(WORLD.roster.key_id, 1)]
        assert status.value in of(effects, Note)[0].text

    def test_a_held_receipt_sends_the_very_same_bytes_again(self, sent):
        state, sealed = sent

        after, effects = step(state, receipt(WORLD.plan(), sealed, ReceiptStatus.HELD))

        assert after is state
        assert published(effects, Kind.CONTRIBUTION) == [sealed]

    def test_a_receipt_for_other_bytes_is_refused(self, sent):
        assert assert_refused(Refusal.RECEIPT, PeerError, sent[0], receipt(WORLD.plan(), b"other")) is sent[0]

    @pytest.mark.parametrize("fields", [{"device": "device-06"}, {"round": 2}, {"key_id": bytes(32)}], ids=str)
    def test_a_receipt_for_another_device_round_or_key_changes_nothing(self, sent, fields):
        after, effects = step(sent[0], receipt(WORLD.plan(), sent[1], **fields))

        assert (after, [type(effect) for effect in effects]) == (sent[0], [Note])

    def test_a_receipt_when_none_is_awaited_changes_nothing(self, sent):
        assert step(START, receipt(WORLD.plan(), sent[1]))[0] is START

    def test_a_receipt_of_another_signer_is_refused(self, sent):
        signed = decode(Signed, receipt(WORLD.plan(), sent[1]).data, max_bytes=LIMITS.signed_document)
        forged = ReceiptArrived(encode_signed(Signed(signed.content, bytes(64))))

        assert assert_refused(Refusal.SIGNATURE, PeerError, sent[0], forged) is sent[0]

    def test_a_late_receipt_does_not_disturb_the_next_round(self, sent):
        state, sealed = sent
        state, _ = step(state, arrived(WORLD.plan(2)))

        after, _ = step(state, receipt(WORLD.plan(1), sealed))

        assert (type(after), after.memory.sent) == (Preparing, None)


class TestConnected:
    def test_what_was_sent_is_sent_again_byte_for_byte(self):
        state, effects = contributed()

        after, again = step(state, Connected())

        assert after is state
        assert published(again, Kind.CONTRIBUTION) == published(effects, Kind.CONTRIBUTION)

    @pytest.mark.parametrize("state", [START, Unenrolled(DeviceMemory(Ledger()))], ids=["idle", "without roster"])
    def test_a_device_with_nothing_under_way_sends_nothing(self, state):
        assert step(state, Connected()) == (state, ())


class TestEvidence:
    def evidence(self):
        plan = WORLD.plan()
        headers = [WORLD.request(plan, WORLD.bodies(plan, names)).header for names in (WORLD.names[:4], WORLD.names[1:5])]
        return EvidenceArrived("device-01", encode(Evidence(*headers)))

    def test_two_roots_for_one_round_stop_this_key_and_raise_the_alarm(self):
        event = self.evidence()

        state, effects = step(START, event)

        assert state.memory.stopped == {WORLD.roster.key_id}
        assert changes(effects) == [KeepStop(WORLD.roster.key_id, Refusal.EQUIVOCATION, event.data)]
        assert of(effects, Alert)
        assert_refused(Refusal.EQUIVOCATION, FaultyOrchestrator, state, arrived(WORLD.plan(2)))

    @pytest.mark.parametrize("phase", [Preparing, Working])
    def test_it_stops_a_round_under_way(self, phase):
        state = step(START, arrived(WORLD.plan()))[0] if phase is Preparing else training()[0]

        after, _ = step(state, self.evidence())

        assert isinstance(after, Idle)

    def test_it_leaves_other_keys_alone(self):
        newer = WORLD.newer(key_epoch=1)
        state, _ = step(newer.device_state(), self.evidence())

        assert isinstance(step(state, arrived(newer.plan()))[0], Preparing)

    def test_the_same_evidence_again_is_no_news(self):
        state, _ = step(START, self.evidence())

        assert step(state, self.evidence()) == (state, ())

    def test_headers_that_do_not_contradict_each_other_are_refused(self):
        one, two = WORLD.plan(1), WORLD.plan(2)
        first, second = (WORLD.request(plan, WORLD.bodies(plan)).header for plan in (one, two))
        other_fleet = WORLD.sign_header(msgspec.structs.replace(decode_header(second), fleet="others", round=1))
        other_key = WORLD.sign_header(msgspec.structs.replace(decode_header(second), key_id=bytes(32), round=1))
        for pair in ((first, first), (first, second), (first, other_fleet), (first, other_key)):
            event = EvidenceArrived("device-01", encode(Evidence(*pair)))
            assert assert_refused(Refusal.EVIDENCE, PeerError, START, event) is START

    def test_headers_of_another_signer_prove_nothing(self):
        plan = WORLD.plan()
        header = WORLD.request(plan, WORLD.bodies(plan)).header
        event = EvidenceArrived("device-01", encode(Evidence(header, Signed(header.content + b"x", header.signature))))

        assert assert_refused(Refusal.SIGNATURE, PeerError, START, event) is START


def decode_header(signed):
    return decode(Header, signed.content, max_bytes=LIMITS.signed_document)


STATES = {Idle: START, Preparing: step(START, arrived(WORLD.plan()))[0], Fetching: fetching(WORLD.plan()), Working: training()[0]}


@pytest.mark.parametrize("phase", STATES)
@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Prepared(bytes(32)), Preparing),
        (Fetched(b""), Fetching),
        (TaskDone(bytes(32), None), Working),
        (object(), None),
    ],
    ids=["prepared", "fetched", "done", "nonsense"],
)
def test_an_event_at_the_wrong_time_raises_and_leaves_the_state(phase, event, expected):
    if phase is expected:
        assert step(STATES[phase], event)[0] == STATES[phase]
        return
    with refused(Refusal.PHASE, PhaseError):
        step(STATES[phase], event)
