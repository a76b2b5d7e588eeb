"""A device whose roster entry holds another key takes no part: nobody would accept what it signs."""

from dataclasses import replace

from hushfleet.errors import PeerError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.device import Idle
from hushfleet.rounds.effects import Prepare
from hushfleet.rounds.events import PlanArrived
from hushfleet.signing import SigningKey
from hushfleet.wire import encode_signed
from tests.support.fleet import make_fleet, of, raise_refusal
from tests.support.refusals import refused

FLEET = make_fleet()
PLAN = PlanArrived(encode_signed(FLEET.plan().signed))


def test_a_device_that_was_enrolled_anew_elsewhere_stays_out() -> None:
    old = replace(FLEET.device(), signing_key=SigningKey.generate(SeededRandomness(b"the box it replaced")))
    state, effects = old.step(FLEET.device_state(), PLAN, SeededRandomness(b""))
    assert isinstance(state, Idle)
    with refused(Refusal.NOT_ENROLLED, PeerError):
        raise_refusal(effects)


def test_the_device_that_the_roster_names_takes_part() -> None:
    _, effects = FLEET.device().step(FLEET.device_state(), PLAN, SeededRandomness(b""))
    assert of(effects, Prepare)
