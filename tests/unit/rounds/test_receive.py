"""What an application of its own calls for one contribution that came in."""

import msgspec

from hushfleet.codec import decode
from hushfleet.errors import FaultyDevice, PeerError, Refusal
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds import receive
from hushfleet.schemes.base import RoundTerms
from hushfleet.wire import Body
from hushfleet.wire.limits import LIMITS
from tests.support.fleet import make_fleet
from tests.support.refusals import refused

FLEET = make_fleet()
PLAN = FLEET.plan()
NAME, OTHER = FLEET.names[:2]


def received(name: str, sealed: bytes):
    return receive(RoundTerms(PLAN, FLEET.roster, insecure_keys=True), FLEET.parties.orchestrator.sealing, name, sealed, SystemRandomness())


def test_a_good_contribution_is_opened():
    sealed = FLEET.sealed(PLAN, NAME, FLEET.body(PLAN, NAME))

    opened = received(NAME, sealed)

    assert (opened.device_id, opened.sealed) == (NAME, sealed)


def test_one_that_somebody_else_signed_is_refused():
    with refused(Refusal.CONTRIBUTION_PLAN, FaultyDevice):
        received(NAME, FLEET.sealed(PLAN, NAME, FLEET.body(PLAN, OTHER)))


def test_one_that_was_altered_on_the_way_is_refused():
    sealed = bytearray(FLEET.sealed(PLAN, NAME, FLEET.body(PLAN, NAME)))
    sealed[-1] ^= 1

    with refused(Refusal.SEAL, PeerError):
        received(NAME, bytes(sealed))


def test_one_that_was_copied_from_another_device_is_refused():
    other = decode(Body, FLEET.body(PLAN, OTHER).content, max_bytes=LIMITS.contribution)
    copied = FLEET.sign_body(msgspec.structs.replace(other, device_id=NAME))

    with refused(Refusal.KNOWLEDGE_PROOF, FaultyDevice):
        received(NAME, FLEET.sealed(PLAN, NAME, copied))
