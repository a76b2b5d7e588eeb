import pytest

from hushfleet.errors import LocalError, PeerError, Refusal
from tests.support import refusals
from tests.support.refusals import refused


@pytest.fixture
def reached(monkeypatch):
    """An empty set in place of the run's own."""
    monkeypatch.setattr(refusals, "reached", set())
    return refusals.reached


def test_the_reason_and_the_kind_that_were_expected_count_as_reached(reached):
    with refused(Refusal.SEAL, PeerError):
        raise PeerError(Refusal.SEAL, "no")
    assert reached == {Refusal.SEAL}


@pytest.mark.parametrize("errors", [[PeerError(Refusal.SIGNATURE, "another reason")], [LocalError(Refusal.SEAL, "another kind")], []])
def test_anything_else_fails_the_test_and_counts_for_nothing(reached, errors):
    with pytest.raises(AssertionError):
        raise_in_refused(errors)
    assert reached == set()


def raise_in_refused(errors):
    with refused(Refusal.SEAL, PeerError):
        for error in errors:
            raise error


def test_other_exceptions_pass_through(reached):
    with pytest.raises(OverflowError), refused(Refusal.SEAL, PeerError):
        raise OverflowError
    assert reached == set()
