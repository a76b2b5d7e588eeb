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
    KeepCharge,
    KeepContribution,
    KeepRoster,
    KeepSeen,
    KeepStop,
    Note,
    Persist,
    Prepare,
    ZeroContributed,
)
from hushfleet.rounds.events import (
    Connected,
    EvidenceArrived,
    Fetched,
    PlanArrived,
    PlanCleared,
    Prepared,
    ReadBack,
    ReceiptArrived,
    RolledBack,
    RosterArrived,
    TaskDone,
)
from hushfleet.rounds.plan_check import nano_rho
from hushfleet.signing import Signed
from hushfleet.training import GlobalModel, LocalUpdate
from hushfleet.wire import Body, Evidence, Kind, encode_signed
from hushfleet.wire.limits import LIMITS
from tests.support.fleet import changes, make_fleet, of, published, raise_refusal, update_of, without_privacy
from tests.support.keys import load
from tests.support.paillier import phe_decrypt
from tests.support.refusals import refused

FLEET = make_fleet()
DEVICE = FLEET.device()
NAME = DEVICE.device_id
START = FLEET.device_state()


def step(state, event, device=DEVICE):
    return device.step(state, event, SeededRandomness(b"device"))


def arrived(plan):
    return PlanArrived(encode_signed(plan.signed))


def roster_of(fleet):
    return RosterArrived(encode_signed(fleet.roster.signed))


def fetching(plan, state=START, device=DEVICE):
    """A device that waits for the model of `plan`."""
    state, effects = step(state, arrived(plan), device)
    (prepare,) = of(effects, Prepare)
    return step(state, Prepared(prepare.plan_hash), device)[0]


def training(fleet=FLEET, plan=None, state=None, device=DEVICE):
    """A device that has been told to train for `plan`."""
    state = fetching(plan or fleet.plan(), state or fleet.device_state(), device)
    state, effects = step(state, Fetched(fleet.model.to_bytes()), device)
    return state, of(effects, DoTask)[0]


def contributed(fleet=FLEET, plan=None, update=None, device=DEVICE):
    """The state and effects after a contribution."""
    state, train = training(fleet, plan, device=device)
    return step(state, TaskDone(train.plan_hash, None if update is None else LocalUpdate(update), "test"), device)


def sent_by(effects):
    return published(effects, Kind.CONTRIBUTION)[0]


def receipt(plan, whole, status=ReceiptStatus.ACCEPTED, *, device=NAME, reason="", **fields: object):
    honest = Receipt(plan.plan.fleet, device, plan.plan.key_id, plan.plan.round, sha256(whole), status, (), reason)
    return ReceiptArrived(encode_signed(sign_receipt(msgspec.structs.replace(honest, **fields), FLEET.parties.orchestrator.signing)))


def assert_refused(reason, kind, state, event, device=DEVICE):
    """The event is refused; the new state comes back."""
    after, effects = step(state, event, device)
    with refused(reason, kind):
        raise_refusal(effects)
    return after


class TestCleared:
    """A plan that is cleared before the charge costs nothing."""

    @pytest.mark.parametrize("begun", ["preparing", "fetching", "working"])
    def test_work_for_a_cleared_plan_ends_without_a_charge(self, begun):
        plan = FLEET.plan()
        state = {"preparing": lambda: step(START, arrived(plan))[0], "fetching": lambda: fetching(plan), "working": lambda: training()[0]}[
            begun
        ]()

        after, effects = step(state, PlanCleared())

        assert isinstance(after, Idle)
        assert after.memory.ledger == Ledger()
        assert not changes(effects)
        with pytest.raises(PhaseError):
            step(after, TaskDone(plan.digest, LocalUpdate(update_of(b"late"))))

    def test_a_contribution_that_was_paid_for_goes_on(self):
        state, effects = contributed()

        after, more = step(state, PlanCleared())

        assert (after, more) == (state, ())
        assert published(step(after, Connected())[1], Kind.CONTRIBUTION) == [sent_by(effects)]

    def test_a_cleared_plan_no_longer_waits_for_its_roster(self):
        newer = FLEET.newer()
        waiting, _ = step(START, arrived(newer.plan()))
        assert waiting.waiting is not None

        after, effects = step(step(waiting, PlanCleared())[0], roster_of(newer))

        assert isinstance(after, Idle)
        assert not of(effects, Prepare)


class TestPlan:
    def test_an_acceptable_plan_is_recorded_and_its_model_fetched(self):
        plan = FLEET.plan()

        state, effects = step(START, arrived(plan))

        assert isinstance(state, Preparing)
        assert effects == (Persist((KeepSeen(plan.plan.key_id, 1),)), Prepare(plan.digest, plan.plan.task, plan.plan.dimension))
        assert step(state, Prepared(plan.digest))[1] == (Fetch(FLEET.model.digest),)

    @pytest.mark.parametrize("wrong", [{"local_steps": 10**6}, {"selection": 0}], ids=["refused", "not asked"])
    def test_a_later_round_ends_work_for_an_earlier_one_whatever_becomes_of_it(self, wrong):
        state, train = training()

        state, effects = step(state, arrived(FLEET.plan(2, **wrong)))

        assert isinstance(state, Idle)
        assert KeepSeen(FLEET.roster.key_id, 2) in changes(effects)
        with refused(Refusal.PHASE, PhaseError):
            step(state, TaskDone(train.plan_hash, None, "test"))

    def test_the_same_plan_again_changes_nothing(self):
        state, _ = step(START, arrived(FLEET.plan()))

        assert step(state, arrived(FLEET.plan())) == (state, ())

    def test_a_plan_that_another_key_signed_is_refused_without_a_trace(self):
        plan = replace(FLEET.parties.orchestrator, signing=FLEET.parties.devices[NAME].signing)
        forged = replace(FLEET, parties=replace(FLEET.parties, orchestrator=plan)).signed(FLEET.plan().plan)

        assert assert_refused(Refusal.SIGNATURE, PeerError, START, arrived(forged)) is START

    def test_without_a_roster_nothing_is_judged(self):
        with refused(Refusal.PHASE, PhaseError):
            step(Unenrolled(DeviceMemory(Ledger())), arrived(FLEET.plan()))

    def test_a_round_below_one_already_seen_is_refused_without_a_trace(self):
        state, _ = step(START, arrived(FLEET.plan(3, scheme="unknown")))
        assert state.memory.seen == {FLEET.roster.key_id: 3}

        assert assert_refused(Refusal.PLAN_ROUND_STALE, FaultyOrchestrator, state, arrived(FLEET.plan(2))) is state

    def test_a_round_contributed_to_is_refused_whatever_its_plan_says(self):
        state, _ = contributed()

        after = assert_refused(Refusal.PLAN_ROUND_REPEATED, FaultyOrchestrator, state, arrived(FLEET.plan(1, deadline_s=601)))
        assert after == state

    def test_the_plan_of_its_contribution_may_come_again_without_a_word(self):
        """As after every new connection."""
        state, _ = contributed()

        assert step(state, arrived(FLEET.plan())) == (state, ())

    def test_a_round_below_one_contributed_to_is_refused_even_if_nothing_was_seen(self):
        state, _ = contributed(plan=FLEET.plan(5))
        forgetful = replace(state, memory=replace(state.memory, seen={}))

        assert_refused(Refusal.PLAN_ROUND_REPEATED, FaultyOrchestrator, forgetful, arrived(FLEET.plan(4)))

    def test_a_policy_breach_is_recorded_as_seen_and_refused(self):
        event = arrived(FLEET.plan(variance=16))

        state, effects = step(START, event)

        assert changes(effects) == [KeepSeen(FLEET.roster.key_id, 1)]
        assert_refused(Refusal.PLAN_NOISE, FaultyOrchestrator, START, event)
        assert state == replace(FLEET.device_state(seen={FLEET.roster.key_id: 1}), out=Refusal.PLAN_NOISE)

    def test_the_reason_for_staying_out_is_kept_until_the_next_plan(self):
        state, _ = step(START, arrived(FLEET.plan(variance=16)))
        assert state.out is Refusal.PLAN_NOISE

        state, _ = step(state, arrived(FLEET.plan(2, selection=0)))
        assert state.out is None

    def test_what_a_device_without_budget_says_of_itself(self):
        ledger = Ledger((Participation(FLEET.roster.key_id, 1, FLEET.roster.policy.budget_nano_rho),))

        state, effects = step(FLEET.device_state(ledger=ledger), arrived(FLEET.plan(2)))

        assert state.out is Refusal.BUDGET_EXHAUSTED
        with refused(Refusal.BUDGET_EXHAUSTED, BudgetError):
            raise_refusal(effects)

    def test_a_reason_that_could_follow_from_data_is_not_kept_for_the_status(self):
        state, _ = step(START, arrived(FLEET.plan()))

        after, _ = step(state, Prepared(FLEET.plan().digest, DataError(Refusal.DATA_EMPTY, "no rows")))

        assert isinstance(after, Idle)
        assert after.out is None

    def test_a_device_that_the_roster_does_not_name_is_refused(self):
        fleet = FLEET.without(NAME)

        assert_refused(Refusal.NOT_ENROLLED, PeerError, fleet.device_state(), arrived(fleet.plan()))

    def test_a_device_without_the_plans_trainer_is_out_and_pays_nothing(self):
        state, _ = step(START, arrived(FLEET.plan()))
        problem = LocalError(Refusal.MODEL_ABSENT, "there is no trainer here")

        after = assert_refused(Refusal.MODEL_ABSENT, LocalError, state, Prepared(FLEET.plan().digest, problem))

        assert isinstance(after, Idle)
        assert after.out is Refusal.MODEL_ABSENT
        assert after.memory.ledger == START.memory.ledger

    def test_what_was_prepared_for_an_earlier_plan_changes_nothing(self):
        state, _ = step(START, arrived(FLEET.plan()))

        assert step(state, Prepared(bytes(32))) == (state, ())

    def test_a_device_that_is_not_selected_notes_it_and_stays_idle(self):
        plan = next(p for p in (FLEET.plan(n, selection=30_000) for n in count(1)) if not is_selected(p, NAME))

        state, effects = step(START, arrived(plan))

        assert (type(state), of(effects, Prepare)) == (Idle, [])
        assert "not asked" in of(effects, Note)[0].text
        assert changes(effects) == [KeepSeen(plan.plan.key_id, plan.plan.round)]

    def test_a_device_that_is_selected_takes_part(self):
        plan = next(p for p in (FLEET.plan(n, selection=30_000) for n in count(1)) if is_selected(p, NAME))

        assert isinstance(step(START, arrived(plan))[0], Preparing)

    @pytest.mark.parametrize("phase", ["fetching", "training"])
    def test_a_later_plan_supersedes_the_one_under_way(self, phase):
        state = step(START, arrived(FLEET.plan(1)))[0] if phase == "fetching" else training()[0]

        state, effects = step(state, arrived(FLEET.plan(2)))

        assert (type(state), state.terms.plan.round) == (Preparing, 2)
        assert len(of(effects, Prepare)) == 1


class TestBudget:
    COST = nano_rho(FLEET.plan().plan, FLEET.roster)

    def fleet(self, budget):
        return make_fleet(policy={"budget_nano_rho": budget})

    def test_the_last_affordable_round_is_charged_and_the_next_refused_with_nothing_changed(self):
        fleet = self.fleet(2 * self.COST)
        state, device = fleet.device_state(), fleet.device()
        for number in (1, 2):
            state, train = training(fleet, fleet.plan(number), state, device)
            state, _ = step(state, TaskDone(train.plan_hash, None), device)
        assert state.memory.ledger.spent_nano == 2 * self.COST

        after, effects = step(state, arrived(fleet.plan(3)), device)

        with refused(Refusal.BUDGET_EXHAUSTED, BudgetError):
            raise_refusal(effects)
        remembered = replace(state.memory, seen={fleet.roster.key_id: 3})
        assert after == replace(state, memory=remembered, out=Refusal.BUDGET_EXHAUSTED)
        assert changes(effects) == [KeepSeen(fleet.roster.key_id, 3)]
        assert not of(effects, Prepare)

    @pytest.mark.parametrize(("missing", "phase"), [(0, Preparing), (1, Idle)])
    def test_one_nano_rho_decides(self, missing, phase):
        fleet = self.fleet(self.COST - missing)

        assert type(step(fleet.device_state(), arrived(fleet.plan()), fleet.device())[0]) is phase

    def test_what_was_spent_under_another_key_counts(self):
        fleet = self.fleet(2 * self.COST - 1)
        state, _ = contributed(fleet, device=fleet.device())
        newer = fleet.newer(key_epoch=1)
        state, _ = step(state, roster_of(newer), fleet.device())

        assert_refused(Refusal.BUDGET_EXHAUSTED, BudgetError, state, arrived(newer.plan()), fleet.device())

    def test_a_plan_without_privacy_costs_nothing_and_is_recorded(self):
        fleet = without_privacy(self.fleet(0))

        state, _ = contributed(fleet)

        assert (state.memory.ledger.spent_nano, state.memory.ledger.without_privacy) == (0, True)
        assert_refused(Refusal.PLAN_ROUND_REPEATED, FaultyOrchestrator, state, arrived(fleet.plan(deadline_s=601)))


class TestRoster:
    def test_a_plan_that_names_a_newer_roster_waits_unrecorded_and_is_judged_when_that_comes(self):
        newer = FLEET.newer()

        waiting, effects = step(START, arrived(newer.plan()))
        assert (waiting.waiting is not None, waiting.memory.seen, changes(effects)) == (True, {}, [])
        state, effects = step(waiting, roster_of(newer))

        assert (type(state), state.waiting) == (Preparing, None)
        assert changes(effects) == [KeepRoster(newer.roster.signed), KeepSeen(newer.roster.key_id, 1)]

    def test_a_roster_on_the_way_to_the_plans_leaves_it_waiting(self):
        newest = FLEET.newer(serial=7)
        waiting, _ = step(START, arrived(newest.plan()))

        state, _ = step(waiting, roster_of(FLEET.newer(serial=4)))

        assert state.waiting == waiting.waiting
        assert isinstance(step(state, roster_of(newest))[0], Preparing)

    def test_a_waiting_plan_that_is_then_refused_does_not_keep_the_roster_out(self):
        newer = FLEET.newer(policy=msgspec.structs.replace(FLEET.policy, min_devices=5))
        waiting, _ = step(START, arrived(newer.plan()))

        state, effects = step(waiting, roster_of(newer))

        assert (state.roster.digest, type(state), state.waiting) == (newer.roster.digest, Idle, None)
        assert KeepRoster(newer.roster.signed) in changes(effects)
        with refused(Refusal.PLAN_COHORT_FLOOR, FaultyOrchestrator):
            raise_refusal(effects)

    def test_a_roster_with_another_orchestrator_gets_through_a_plan_of_the_old_one(self):
        other = make_fleet(seed=b"another orchestrator").parties.orchestrator
        newer = FLEET.newer(parties=replace(FLEET.parties, orchestrator=other))
        waiting, _ = step(START, arrived(FLEET.plan(roster_serial=2, roster_hash=bytes(32))))

        state, effects = step(waiting, roster_of(newer))

        assert state.roster.digest == newer.roster.digest
        with refused(Refusal.SIGNATURE, PeerError):
            raise_refusal(effects)

    def test_a_device_with_a_newer_roster_stays_out_unrecorded(self):
        state, _ = step(START, roster_of(FLEET.newer()))

        after, effects = step(state, arrived(FLEET.plan()))

        assert (after, [type(effect) for effect in effects]) == (replace(state, out=Refusal.PLAN_ROSTER), [Note])

    @pytest.mark.parametrize("phase", [Preparing, Working])
    def test_a_roster_replaced_in_mid_round_ends_it(self, phase):
        state = step(START, arrived(FLEET.plan()))[0] if phase is Preparing else training()[0]

        after, effects = step(state, roster_of(FLEET.newer()))

        assert isinstance(after, Idle)
        assert changes(effects) == [KeepRoster(FLEET.newer().roster.signed)]
        with refused(Refusal.PHASE, PhaseError):
            step(after, TaskDone(FLEET.plan().digest, None))

    def test_what_was_sent_is_sent_again_under_a_newer_roster(self):
        state, effects = contributed()

        after, _ = step(state, roster_of(FLEET.newer()))

        assert isinstance(after, Idle)
        assert sent_by(step(after, Connected())[1]) == sent_by(effects)

    def test_the_roster_in_force_again_is_no_news(self):
        assert step(START, roster_of(FLEET)) == (START, ())

    def test_the_first_roster_is_kept(self):
        state, effects = step(Unenrolled(DeviceMemory(Ledger())), roster_of(FLEET))

        assert (state.roster.digest, changes(effects)) == (FLEET.roster.digest, [KeepRoster(FLEET.roster.signed)])

    def test_an_older_roster_is_refused(self):
        state = FLEET.newer().device_state()

        assert assert_refused(Refusal.ROSTER_OLDER, FaultyOwner, state, roster_of(FLEET)) is state

    def test_two_rosters_of_one_serial_raise_the_alarm_and_stop_the_device_until_the_next_deal(self):
        twin = replace(FLEET, policy=msgspec.structs.replace(FLEET.policy, max_values=999))
        working, _ = step(START, arrived(FLEET.plan()))

        state = assert_refused(Refusal.ROSTER_CONFLICT, FaultyOwner, working, roster_of(twin))
        effects = step(working, roster_of(twin))[1]

        assert of(effects, Alert)
        (keep,) = changes(effects)
        assert (keep.key_id, keep.reason) == (FLEET.roster.key_id, Refusal.ROSTER_CONFLICT)
        assert [one in keep.evidence for one in (FLEET.roster.signed.signature, twin.roster.signed.signature)] == [True, True]
        assert (state.roster, type(state)) == (FLEET.roster, Idle)
        assert_refused(Refusal.EQUIVOCATION, FaultyOrchestrator, state, arrived(FLEET.plan(2)))
        newer = FLEET.newer(key_epoch=1)
        state, _ = step(state, roster_of(newer))
        assert isinstance(step(state, arrived(newer.plan()))[0], Preparing)

    def test_a_roster_that_the_root_key_did_not_sign_is_refused(self):
        signed = FLEET.parties.orchestrator.signing.sign(Label.ROSTER, FLEET.newer().roster.signed.content)

        assert assert_refused(Refusal.SIGNATURE, PeerError, START, RosterArrived(encode_signed(signed))) is START


class TestModel:
    @pytest.fixture
    def waiting(self):
        return fetching(FLEET.plan())

    def test_the_plans_parameters_start_its_training(self, waiting):
        state, effects = step(waiting, Fetched(FLEET.model.to_bytes()))

        (train,) = effects
        assert isinstance(state, Working)
        assert (train.plan_hash, train.task, train.model) == (FLEET.plan().digest, FLEET.plan().plan.task, FLEET.model)

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
        after = assert_refused(reason, PeerError, fetching(FLEET.plan(parameter_hash=sha256(data))), Fetched(data))

        assert (type(after), after.memory.ledger) == (Idle, START.memory.ledger)

    def test_the_largest_allowed_parameter_passes(self):
        model = GlobalModel(0, np.full(10, 1e4))

        assert isinstance(training(replace(FLEET, model=model))[0], Working)

    def test_a_model_that_nobody_asked_for_is_a_phase_error(self):
        with refused(Refusal.PHASE, PhaseError):
            step(START, Fetched(FLEET.model.to_bytes()))


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

        body = decode(Body, FLEET.unsealed(FLEET.plan(), NAME, sent_by(effects)).body.content, max_bytes=LIMITS.body)

        assert (body.plan_hash, body.device_id) == (FLEET.plan().digest, NAME)

    def test_training_for_an_earlier_plan_is_dropped(self):
        state, _ = training(plan=FLEET.plan(2))

        after, effects = step(state, TaskDone(FLEET.plan(1).digest, LocalUpdate(update_of(b"old"))))

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

    def test_the_reason_for_a_zero_is_for_the_owner_alone(self):
        state, train = training()

        _, effects = step(state, TaskDone(train.plan_hash, None, "row 17 holds a NaN"))

        assert "row 17 holds a NaN" in of(effects, ZeroContributed)[0].reason
        assert b"row 17" not in sent_by(effects)
        assert not any(b"row 17" in encode(value) for value in (FLEET.unsealed(FLEET.plan(), NAME, sent_by(effects)),))

    @pytest.mark.parametrize("update", [None, np.full(10, np.nan), np.ones(11)], ids=["no update", "nan", "too long"])
    def test_a_zero_carries_full_noise(self, update, opened_update):
        values = opened_update(FLEET, update)

        variance = FLEET.plan().plan.privacy.variance
        assert 0.75 * variance < np.mean(values.astype(float) ** 2) < 1.3 * variance

    def test_a_good_update_is_clipped_to_the_plans_norm(self, opened_update):
        silent = without_privacy(FLEET)
        plan = silent.plan().plan

        values = opened_update(silent, 1e6 * update_of(b"large"))

        assert int(values @ values) <= plan.privacy.b2 * 20
        assert np.sqrt(float(values @ values) / 20) == pytest.approx(plan.scale * plan.clip_norm, rel=0.05)

    @pytest.mark.parametrize("power", [-1000, 0, 1000])
    def test_an_extreme_clip_norm_does_not_make_participation_depend_on_data(self, power):
        plan = FLEET.plan(scale=28 * 2.0**-power, clip_norm=2.0**power)
        for update in (None, np.zeros(10), np.full(10, 1e-320), update_of(b"u"), np.full(10, 1e300), np.full(10, np.nan)):
            state, effects = contributed(plan=plan, update=update)
            assert len(sent_by(effects)) > 0
            assert state.memory.ledger.spent_nano == TestBudget.COST

    def test_two_contributions_to_one_plan_differ_in_every_ciphertext(self):
        state, train = training()
        event, bodies = TaskDone(train.plan_hash, LocalUpdate(update_of(b"u"))), []
        for _ in range(2):
            sealed = sent_by(DEVICE.step(state, event, SystemRandomness())[1])
            bodies.append(decode(Body, FLEET.unsealed(FLEET.plan(), NAME, sealed).body.content, max_bytes=LIMITS.body))

        assert not set(bodies[0].items) & set(bodies[1].items)


@pytest.fixture
def opened_update():
    """What a device encrypted, over 20 contributions to as many rounds."""

    def opened(fleet, update):
        key, parts = load("insecure-512"), []
        for number in range(1, 21):
            plan = fleet.plan(number)
            sealed = sent_by(contributed(fleet, plan, update)[1])
            body = decode(Body, fleet.unsealed(plan, NAME, sealed).body.content, max_bytes=LIMITS.body)
            plain = phe_decrypt(key, [int.from_bytes(item, "big") for item in body.items])
            parts.append(unpack(plain, fleet.terms(plan).length, plan.plan.privacy.slot_bits, key.public))
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

        after, effects = step(state, receipt(FLEET.plan(), sealed, status, reason="generic"))

        assert (type(after), after.memory.sent, after.memory.ledger) == (Idle, None, state.memory.ledger)
        assert changes(effects) == [DropContribution(FLEET.roster.key_id, 1)]
        assert status.value in of(effects, Note)[0].text

    def test_a_held_receipt_sends_the_very_same_bytes_again(self, sent):
        state, sealed = sent

        after, effects = step(state, receipt(FLEET.plan(), sealed, ReceiptStatus.HELD))

        assert after is state
        assert published(effects, Kind.CONTRIBUTION) == [sealed]

    def test_a_receipt_for_other_bytes_is_refused(self, sent):
        held = receipt(FLEET.plan(), b"other", ReceiptStatus.HELD)
        assert assert_refused(Refusal.RECEIPT, PeerError, sent[0], held) is sent[0]

    @pytest.mark.parametrize("fields", [{"device": "device-06"}, {"round": 2}, {"key_id": bytes(32)}], ids=str)
    def test_a_receipt_for_another_device_round_or_key_changes_nothing(self, sent, fields):
        after, effects = step(sent[0], receipt(FLEET.plan(), sent[1], ReceiptStatus.REFUSED, reason="contribution-late", **fields))

        assert after == sent[0]
        assert not changes(effects)

    def test_a_receipt_when_none_is_awaited_changes_nothing(self, sent):
        assert step(START, receipt(FLEET.plan(), sent[1]))[0] is START

    def test_a_receipt_of_another_signer_is_refused(self, sent):
        signed = decode(Signed, receipt(FLEET.plan(), sent[1]).data, max_bytes=LIMITS.signed_document)
        forged = ReceiptArrived(encode_signed(Signed(signed.content, bytes(64))))

        assert assert_refused(Refusal.SIGNATURE, PeerError, sent[0], forged) is sent[0]

    def test_a_late_receipt_does_not_disturb_the_next_round(self, sent):
        state, sealed = sent
        state, _ = step(state, arrived(FLEET.plan(2)))

        after, _ = step(state, receipt(FLEET.plan(1), sealed))

        assert (type(after), after.memory.sent) == (Preparing, None)


class TestRolledBack:
    """A store that has gone back in time: what others hold of this device stops it under the key (PROTOCOL 8)."""

    PROOFS = (
        ("a second contribution was refused", {"status": ReceiptStatus.REFUSED, "reason": "contribution-second"}, True),
        ("another contribution was accepted", {}, False),
        ("a round that the ledger does not know", {"round": 2}, True),
    )

    @pytest.mark.parametrize(("fields", "own"), [proof[1:] for proof in PROOFS], ids=[proof[0] for proof in PROOFS])
    def test_a_receipt_that_proves_it_stops_the_device(self, fields, own):
        state, before = contributed()
        sealed = sent_by(before)

        after, effects = step(state, receipt(FLEET.plan(), sealed if own else b"the other one", **fields))

        (keep,) = changes(effects)
        assert (type(keep), keep.reason) == (KeepStop, Refusal.STORE_ROLLED_BACK)
        assert after.memory.rolled_back == {FLEET.roster.key_id}
        assert of(effects, Alert)
        assert_refused(Refusal.STORE_ROLLED_BACK, LocalError, after, arrived(FLEET.plan(3)))

    def test_a_device_enrolled_anew_does_not_mind_what_its_earlier_keys_did(self):
        after, effects = step(START, receipt(FLEET.plan(), b"of the earlier keys"))

        assert (after, changes(effects)) == (START, [])

    def test_its_own_word_is_charged_and_stops_it(self):
        after, effects = step(contributed()[0], RolledBack(b"a status", 10**9, 7))

        spent = contributed()[0].memory.ledger.spent_nano
        assert after.memory.ledger.spent_nano == 10**9
        assert [type(one) for one in changes(effects)] == [KeepStop, KeepCharge]
        assert changes(effects)[1].entry.rho_nano == 10**9 - spent
        assert_refused(Refusal.STORE_ROLLED_BACK, LocalError, after, arrived(FLEET.plan(8)))

    def test_under_another_key_it_goes_on(self):
        newer = FLEET.newer(key_epoch=1)
        after, _ = step(START, RolledBack(b"a status", None, 1))
        after, _ = step(after, roster_of(newer))

        assert isinstance(step(after, arrived(newer.plan()))[0], Preparing)


class TestReadBack:
    """Nothing is contributed before it is known what others hold of this device."""

    WAITING = replace(START, memory=replace(START.memory, read_back=False))

    def test_a_plan_waits_until_then(self):
        waiting, effects = step(self.WAITING, arrived(FLEET.plan()))
        assert (type(waiting), effects) == (Idle, ())

        after, effects = step(waiting, ReadBack())

        assert isinstance(after, Preparing)
        assert of(effects, Prepare)

    def test_a_plan_that_was_cleared_meanwhile_does_not(self):
        waiting, _ = step(self.WAITING, arrived(FLEET.plan()))
        cleared, _ = step(waiting, PlanCleared())

        after, effects = step(cleared, ReadBack())

        assert (type(after), effects) == (Idle, ())


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
        plan = FLEET.plan()
        headers = [FLEET.request(plan, FLEET.bodies(plan, names)).header for names in (FLEET.names[:4], FLEET.names[1:5])]
        return EvidenceArrived("device-01", encode(Evidence(*headers)))

    def test_two_roots_for_one_round_stop_this_key_and_raise_the_alarm(self):
        event = self.evidence()

        state, effects = step(START, event)

        assert state.memory.stopped == {FLEET.roster.key_id}
        assert changes(effects) == [KeepStop(FLEET.roster.key_id, Refusal.EQUIVOCATION, event.data)]
        assert of(effects, Alert)
        assert_refused(Refusal.EQUIVOCATION, FaultyOrchestrator, state, arrived(FLEET.plan(2)))

    @pytest.mark.parametrize("phase", [Preparing, Working])
    def test_it_stops_a_round_under_way(self, phase):
        state = step(START, arrived(FLEET.plan()))[0] if phase is Preparing else training()[0]

        after, _ = step(state, self.evidence())

        assert isinstance(after, Idle)

    def test_it_leaves_other_keys_alone(self):
        newer = FLEET.newer(key_epoch=1)
        state, _ = step(newer.device_state(), self.evidence())

        assert isinstance(step(state, arrived(newer.plan()))[0], Preparing)

    def test_the_same_evidence_again_is_no_news(self):
        state, _ = step(START, self.evidence())

        assert step(state, self.evidence()) == (state, ())

    def test_headers_that_do_not_contradict_each_other_are_refused(self):
        one, two = FLEET.plan(1), FLEET.plan(2)
        first, second = (FLEET.request(plan, FLEET.bodies(plan)).header for plan in (one, two))
        other_fleet = FLEET.sign_header(msgspec.structs.replace(decode_header(second), fleet="others", round=1))
        other_key = FLEET.sign_header(msgspec.structs.replace(decode_header(second), key_id=bytes(32), round=1))
        for pair in ((first, first), (first, second), (first, other_fleet), (first, other_key)):
            event = EvidenceArrived("device-01", encode(Evidence(*pair)))
            assert assert_refused(Refusal.EVIDENCE, PeerError, START, event) is START

    def test_headers_of_another_signer_prove_nothing(self):
        plan = FLEET.plan()
        header = FLEET.request(plan, FLEET.bodies(plan)).header
        event = EvidenceArrived("device-01", encode(Evidence(header, Signed(header.content + b"x", header.signature))))

        assert assert_refused(Refusal.SIGNATURE, PeerError, START, event) is START


def decode_header(signed):
    return decode(Header, signed.content, max_bytes=LIMITS.signed_document)


STATES = {Idle: START, Preparing: step(START, arrived(FLEET.plan()))[0], Fetching: fetching(FLEET.plan()), Working: training()[0]}


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
