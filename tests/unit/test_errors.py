import re

import pytest

from hushfleet import errors
from hushfleet.errors import (
    BudgetError,
    DataError,
    FaultyDevice,
    FaultyMember,
    FaultyOrchestrator,
    FaultyOwner,
    HushfleetError,
    LocalError,
    PeerError,
    PhaseError,
    Refusal,
)


def test_identifiers_are_their_names_in_lower_case_with_hyphens():
    assert [refusal.value for refusal in Refusal] == [refusal.name.lower().replace("_", "-") for refusal in Refusal]
    assert all(re.fullmatch("[a-z0-9-]{1,63}", refusal) for refusal in Refusal)


def test_an_error_says_what_happened_why_and_what_to_do():
    error = HushfleetError(Refusal.SEAL, "the box is shut", next_step="Find the key.")
    assert str(error) == "the box is shut [seal] Find the key."
    assert (error.reason, error.message, error.next_step) == (Refusal.SEAL, "the box is shut", "Find the key.")
    assert str(HushfleetError(Refusal.SEAL, "the box is shut")) == "the box is shut [seal]"


@pytest.mark.parametrize("kind", [DataError, PhaseError, BudgetError])
def test_what_is_wrong_on_this_side_is_a_local_error(kind):
    assert issubclass(kind, LocalError)
    assert not issubclass(kind, PeerError)


@pytest.mark.parametrize("kind", [FaultyDevice, FaultyMember, FaultyOrchestrator, FaultyOwner])
def test_what_is_wrong_with_something_received_is_a_peer_error(kind):
    assert issubclass(kind, PeerError)
    assert not issubclass(kind, LocalError)


def test_every_class_hangs_on_one_of_the_two_trunks():
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, HushfleetError)]
    assert len(classes) == 10
    assert all(issubclass(one, LocalError | PeerError) for one in classes if one is not HushfleetError)


def test_the_culprit_is_named_in_a_field_and_in_the_text():
    device, member = FaultyDevice(Refusal.KNOWLEDGE_PROOF, "pi-01", "no proof"), FaultyMember(Refusal.PARTIAL_PROOF, 3, "no proof")
    assert (device.device, str(device)) == ("pi-01", "pi-01: no proof [knowledge-proof]")
    assert (member.index, str(member)) == (3, "committee member 3: no proof [partial-proof]")


def test_a_data_error_names_the_row_if_there_is_one():
    assert DataError(Refusal.DATA_LABEL, "no such class", row=4).row == 4
    assert DataError(Refusal.DATA_EMPTY, "no rows").row is None


def test_a_phase_error_has_the_reason_phase():
    assert PhaseError("not now").reason is Refusal.PHASE
