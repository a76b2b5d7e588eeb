"""A request that claims more bodies than any cohort has is refused before they are built."""

import pytest

from hushfleet.codec import encode
from hushfleet.documents import DecryptionRequest
from hushfleet.documents.limits import MAX_COHORT
from hushfleet.errors import PeerError, Refusal
from hushfleet.signing import Signed
from hushfleet.wire import decode_decryption_request
from tests.support.refusals import refused

EMPTY = Signed(b"", b"")


def test_the_largest_cohort_is_decoded() -> None:
    assert len(decode_decryption_request(encode(DecryptionRequest(EMPTY, EMPTY, (EMPTY,) * MAX_COHORT))).bodies) == MAX_COHORT


def test_one_body_more_is_refused() -> None:
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        decode_decryption_request(encode(DecryptionRequest(EMPTY, EMPTY, (EMPTY,) * (MAX_COHORT + 1))))


def test_the_count_is_refused_before_any_body_is_looked_at() -> None:
    numbers = (0,) * (MAX_COHORT + 1)
    with pytest.raises(PeerError, match="length"):
        decode_decryption_request(encode(DecryptionRequest(EMPTY, EMPTY, numbers)))  # type: ignore[arg-type]  # not bodies at all
