"""Serial and hash of the roster that a plan names: a lie about one must not bring two rosters into one round."""

import msgspec

from hushfleet.codec import encode
from hushfleet.errors import FaultyOrchestrator, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.device import Idle
from hushfleet.rounds.effects import Fetch
from hushfleet.rounds.events import PlanArrived, RequestArrived
from hushfleet.wire import Kind, encode_signed
from tests.support.fleet import changes, make_fleet, of, published, raise_refusal
from tests.support.refusals import refused

OLDER = make_fleet(devices=8, max_devices=6)
NEWER = OLDER.without("device-07", "device-08")
RANDOMNESS = SeededRandomness(b"rosters")


def test_a_device_stays_out_of_a_plan_that_gives_its_roster_another_serial() -> None:
    plan = NEWER.plan(roster_serial=OLDER.roster.roster.serial)
    before = NEWER.device_state()
    state, effects = NEWER.device().step(before, PlanArrived(encode_signed(plan.signed)), RANDOMNESS)
    assert not of(effects, Fetch)
    assert isinstance(state, Idle)
    with refused(Refusal.PLAN_ROSTER, FaultyOrchestrator):
        raise_refusal(effects)


def test_a_member_with_the_older_roster_does_not_answer_for_revoked_devices() -> None:
    plan = NEWER.plan(roster_serial=OLDER.roster.roster.serial)
    bodies = OLDER.bodies(plan, ("device-01", "device-02", "device-07", "device-08"))
    before = OLDER.member_state()
    state, effects = OLDER.member().step(before, RequestArrived(encode(OLDER.request(plan, bodies))), RANDOMNESS)
    assert state == before
    assert not published(effects, Kind.PARTIAL)
    with refused(Refusal.PLAN_ROSTER, FaultyOrchestrator):
        raise_refusal(effects)


def test_a_member_with_the_newer_roster_still_answers_for_an_older_plan() -> None:
    plan = OLDER.plan()
    request = OLDER.request(plan, OLDER.bodies(plan))
    _, effects = NEWER.member().step(NEWER.member_state(), RequestArrived(encode(request)), RANDOMNESS)
    assert published(effects, Kind.PARTIAL)


def test_a_plan_for_a_key_that_the_roster_does_not_have_leaves_nothing_behind() -> None:
    plan = OLDER.signed(msgspec.structs.replace(OLDER.plan().plan, key_id=bytes(32)))
    before = OLDER.device_state()
    state, effects = OLDER.device().step(before, PlanArrived(encode_signed(plan.signed)), RANDOMNESS)
    assert state == before
    assert not changes(effects)
    with refused(Refusal.PLAN_KEY, FaultyOrchestrator):
        raise_refusal(effects)
