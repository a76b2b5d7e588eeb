"""Why a round has too few contributions, told from what devices say and no more."""

import pytest

from hushfleet.documents import EMPTY_JOURNAL
from hushfleet.errors import Refusal
from hushfleet.wire import DeviceStatus, Presence, Readiness
from orchestrator.absence import absence, takes_part
from tests.support.fleet.paper import make_fleet

FLEET = make_fleet(devices=4, policy={"budget_nano_rho": 10**9})
NAMES = FLEET.names
PLAN = FLEET.plan(3)


def status(name, presence=Presence.IDLE, number=3, **readiness: object):
    told = Readiness(**{"out": None, "left_nano": 10**9, "certificate_day": 0, "shown": "", **readiness})
    return DeviceStatus(FLEET.roster.roster.fleet, name, presence, number, "1.0", bytes(16), EMPTY_JOURNAL, told)


def told(plan=PLAN, accepted=(), rho_nano=1000, **said: object):
    """The words, where everybody in `said` says that, by the last two digits of the name."""
    statuses = {name: status(name, **said[f"d{name[-2:]}"]) for name in NAMES if f"d{name[-2:]}" in said}
    return str(absence(FLEET.roster, statuses, least=4, rho_nano=rho_nano, plan=plan, accepted=accepted))


def everybody(**fields: object):
    return {f"d{name[-2:]}": fields for name in NAMES}


ALL = f"{NAMES[0]} .. {NAMES[-1]}"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"presence": Presence.OFFLINE}, "0 of 4: 4 offline"),
        ({"out": Refusal.MODEL_ABSENT}, f"0 of 4: 4 present, none answered: 4 have no model of this name ({ALL})"),
        ({"out": Refusal.BUDGET_EXHAUSTED, "left_nano": 0}, f"0 of 4: 4 present, none answered: budget: {ALL} have 0 of 1 left"),
        ({"out": Refusal.PLAN_NOISE}, f"0 of 4: 4 present, none answered: 4 refuse the plan: plan-noise ({ALL})"),
        ({"out": Refusal.ROSTER_OLDER, "number": 2}, f"0 of 4: 4 present, none answered: 4 hold an older roster ({ALL})"),
        ({"out": Refusal.TRAINING_DISABLED, "number": 0}, f"0 of 4: 4 present, none answered: 4 do not train ({ALL})"),
        ({"presence": Presence.WORKING}, "0 of 4: 4 at work"),
        ({"presence": Presence.SENT}, "0 of 4: 4 with a contribution on its way"),
        ({"number": 2}, "0 of 4: 4 without an answer yet"),
    ],
    ids=str,
)
def test_an_empty_round_is_explained(fields, text):
    assert told(**everybody(**fields)) == text


def test_a_short_round_is_explained_reason_by_reason():
    first, second, third, _ = NAMES
    text = told(accepted=[first], d02={"presence": Presence.OFFLINE}, d03={"out": Refusal.MODEL_ABSENT})
    assert text == f"1 of 4: 1 offline, 1 has no model of this name ({third}), 1 never heard of"
    assert first not in text
    assert second not in text


def test_a_reason_that_was_given_for_another_round_is_none_for_this_one():
    assert told(**everybody(out=Refusal.PLAN_NOISE, number=2)) == "0 of 4: 4 without an answer yet"


def test_a_budget_too_small_is_known_before_the_round_begins_and_one_that_was_just_spent_on_it_is_not_held_against_anybody():
    assert f"budget: {ALL} have 5e-07 of 1 left" in told(plan=None, **everybody(left_nano=500))
    assert told(**everybody(left_nano=500, presence=Presence.SENT)) == "0 of 4: 4 with a contribution on its way"


def test_a_round_that_costs_nothing_needs_no_budget():
    assert told(plan=None, rho_nano=0, **everybody(left_nano=0)) == "0 of 4: 4 ready"


def test_nobody_left_who_could_come_is_hopeless():
    def hopeless(**fields: object):
        said = {name: status(name, **fields) for name in NAMES}
        return absence(FLEET.roster, said, least=4, plan=PLAN).hopeless

    assert hopeless(presence=Presence.OFFLINE)
    assert hopeless(out=Refusal.MODEL_ABSENT)
    assert not hopeless(presence=Presence.WORKING)
    assert not hopeless(number=2)


def test_who_takes_part():
    assert takes_part(status(NAMES[0]), 1000)
    assert takes_part(status(NAMES[0], left_nano=None), 1000)
    assert not takes_part(status(NAMES[0], presence=Presence.OFFLINE), 1000)
    assert not takes_part(status(NAMES[0], left_nano=999), 1000)
    assert not takes_part(status(NAMES[0], out=Refusal.TRAINING_DISABLED), 0)
