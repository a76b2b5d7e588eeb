import pytest

from hushfleet.errors import PeerError, Refusal
from hushfleet.rounds.effects import Note, Refused, require_accepted
from tests.support.refusals import refused

NOTE = Note("all is well")


@pytest.mark.parametrize("effects", [(), (NOTE,), (NOTE, NOTE)])
def test_effects_without_a_refusal_come_back(effects):
    assert require_accepted(effects) == effects


def test_the_first_refusal_is_raised():
    first, second = (Refused(PeerError(reason, "of a peer")) for reason in (Refusal.SIGNATURE, Refusal.MESSAGE_MALFORMED))

    with refused(Refusal.SIGNATURE, PeerError):
        require_accepted((NOTE, first, second))
