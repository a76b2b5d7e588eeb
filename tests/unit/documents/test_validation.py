import pytest

from hushfleet.documents.validation import require_counts, require_hashes, require_ids
from hushfleet.errors import PeerError, Refusal
from tests.support.refusals import refused


def test_what_is_in_order_passes():
    require_ids("a", "pi-01")
    require_hashes(bytes(32), b"\xff" * 32)
    require_counts(0, 1, 2**63 - 1)
    require_counts(3, 4, 5, least=3, most=5)


@pytest.mark.parametrize("texts", [("",), ("a", "A"), ("a/b",)])
def test_ids(texts):
    with refused(Refusal.ID_MALFORMED, PeerError):
        require_ids(*texts)


@pytest.mark.parametrize("values", [(b"",), (bytes(31),), (bytes(32), bytes(33))])
def test_hashes(values):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        require_hashes(*values)


@pytest.mark.parametrize(("values", "range_"), [((-1,), {}), ((2**63,), {}), ((1, 0), {"least": 1}), ((5, 6), {"most": 5})])
def test_counts(values, range_):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        require_counts(*values, **range_)
