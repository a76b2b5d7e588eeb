from dataclasses import FrozenInstanceError
from fractions import Fraction
from math import ceil

import pytest

from hushfleet.errors import BudgetError, LocalError, Refusal
from hushfleet.privacy.ledger import EventKind, Ledger, Participation, WithoutPrivacy, revive, rho_nano
from tests.support.refusals import refused

KEY, OTHER_KEY = bytes(32), bytes([1]) * 32
TERMS = {"b2": 8_906, "honest": 38, "variance": 3_750}
COST = 31_249_123
BUDGET = 10 * COST


def charged(ledger, key_id, round_number, budget_nano=BUDGET, **change: int):
    return ledger.charge(key_id, round_number, **(TERMS | change), budget_nano=budget_nano)


@pytest.mark.parametrize(("b2", "honest", "variance"), [(8_906, 38, 3_750), (1, 2, 16), (64, 2, 16), (10**12, 3, 10**9), (7, 99, 10**30)])
def test_the_cost_is_rho_rounded_up(b2, honest, variance):
    assert rho_nano(b2, honest, variance) == ceil(Fraction(10**9 * b2, 2 * honest * variance))


def test_the_demos_cost():
    assert rho_nano(**TERMS) == COST


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"b2": 0}, Refusal.PLAN_SENSITIVITY),
        ({"b2": 1.0}, Refusal.PLAN_SENSITIVITY),
        ({"honest": 1}, Refusal.PLAN_HONEST_CONTRIBUTORS),
        ({"honest": -5}, Refusal.PLAN_HONEST_CONTRIBUTORS),
        ({"variance": 15}, Refusal.PLAN_VARIANCE),
        ({"variance": 0}, Refusal.PLAN_VARIANCE),
        ({"variance": -16}, Refusal.PLAN_VARIANCE),
    ],
)
def test_terms_without_a_cost_are_refused_and_charge_nothing(change, reason):
    ledger = charged(Ledger(), KEY, 1)
    with refused(reason, LocalError):
        rho_nano(**(TERMS | change))
    with refused(reason, LocalError):
        charged(ledger, KEY, 2, **change)
    assert ledger.spent_nano == COST


def test_rounds_and_keys_add_up_in_one_budget():
    ledger = charged(charged(charged(Ledger(), KEY, 1), KEY, 2), OTHER_KEY, 1)
    assert ledger.spent_nano == 3 * COST
    assert (ledger.last_round(KEY), ledger.last_round(OTHER_KEY), ledger.last_round(bytes(31) + b"9")) == (2, 1, -1)
    assert ledger.find(KEY, 2) == Participation(KEY, 2, COST)
    assert ledger.find(OTHER_KEY, 2) is None


def test_a_round_is_charged_once():
    ledger = charged(Ledger(), KEY, 1, budget_nano=COST)
    assert charged(ledger, KEY, 1, budget_nano=COST) is ledger
    assert charged(ledger, KEY, 1, budget_nano=0) is ledger, "a resend needs no budget"


def test_a_round_cannot_change_its_terms():
    ledger = charged(Ledger(), KEY, 1)
    with refused(Refusal.PLAN_ROUND_REPEATED, LocalError):
        charged(ledger, KEY, 1, variance=37_500)
    with refused(Refusal.PLAN_ROUND_REPEATED, LocalError):
        ledger.record_without_privacy(KEY, 1)
    with refused(Refusal.PLAN_ROUND_REPEATED, LocalError):
        charged(Ledger().record_without_privacy(KEY, 1), KEY, 1)


def test_the_budget_may_be_used_up_but_not_exceeded():
    ledger = charged(Ledger(), KEY, 1, budget_nano=2 * COST)
    assert charged(ledger, KEY, 2, budget_nano=2 * COST).spent_nano == 2 * COST
    with refused(Refusal.BUDGET_EXHAUSTED, BudgetError):
        charged(ledger, KEY, 2, budget_nano=2 * COST - 1)
    assert ledger.spent_nano == COST


def test_the_refusal_says_what_it_would_cost_and_what_is_left():
    with pytest.raises(BudgetError, match=f"costs {COST} nano-rho; 5 of {COST + 5} are left"):
        charged(charged(Ledger(), KEY, 1), KEY, 2, budget_nano=COST + 5)


def test_a_policy_that_lowers_the_budget_below_what_is_spent_leaves_nothing():
    with pytest.raises(BudgetError, match="0 of 7 are left"):
        charged(charged(Ledger(), KEY, 1), KEY, 2, budget_nano=7)


def test_a_negative_budget_is_no_budget():
    with refused(Refusal.LEDGER_INVALID, LocalError):
        charged(Ledger(), KEY, 1, budget_nano=-1)


def test_contributions_without_privacy_cost_nothing_and_are_recorded_as_such():
    ledger = charged(Ledger(), KEY, 1)
    assert not ledger.without_privacy
    bare = ledger.record_without_privacy(KEY, 2)
    assert bare.without_privacy
    assert bare.spent_nano == COST
    assert bare.last_round(KEY) == 2
    assert bare.record_without_privacy(KEY, 2) is bare
    assert bare.find(KEY, 2).kind == "without-privacy"


@pytest.mark.parametrize("event", [Participation(KEY, 3, COST), WithoutPrivacy(OTHER_KEY, 0)])
def test_events_come_back_from_the_store(event):
    assert revive(event.kind.value, event.key_id, event.round_number, event.rho_nano) == event


@pytest.mark.parametrize(
    ("kind", "key_id", "round_number", "cost"),
    [
        ("refund", KEY, 1, 5),
        (EventKind.WITHOUT_PRIVACY, KEY, 1, 5),
        (EventKind.PARTICIPATION, KEY, 1, 0),
        (EventKind.PARTICIPATION, KEY, 1, -5),
        (EventKind.PARTICIPATION, KEY, -1, 5),
        (EventKind.PARTICIPATION, KEY[1:], 1, 5),
        (EventKind.WITHOUT_PRIVACY, KEY.hex(), 1, 0),
        (EventKind.WITHOUT_PRIVACY, KEY, True, 0),
    ],
)
def test_stored_events_that_cannot_be_are_refused(kind, key_id, round_number, cost):
    with refused(Refusal.LEDGER_INVALID, LocalError):
        revive(kind, key_id, round_number, cost)


@pytest.mark.parametrize(
    "events", [("participation",), (Participation(KEY, 1, 5), Participation(KEY, 1, 5)), (Participation(KEY, 1, 5), WithoutPrivacy(KEY, 1))]
)
def test_a_ledger_holds_known_events_one_a_round(events):
    with refused(Refusal.LEDGER_INVALID, LocalError):
        Ledger(events)


def test_ledger_and_events_are_values():
    event = Participation(KEY, 1, COST)
    with pytest.raises(FrozenInstanceError):
        event.rho_nano = 0
    with pytest.raises(FrozenInstanceError):
        Ledger((event,)).events = ()
    assert Ledger((event,)) == charged(Ledger(), KEY, 1)
