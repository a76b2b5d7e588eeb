import pytest

from hushfleet.errors import PeerError, Refusal
from hushfleet.ids import device_id, fleet_id, parse_id
from tests.support.refusals import refused


@pytest.mark.parametrize("text", ["a", "0", "pi-01", "a-", "a--b", "9" * 63])
@pytest.mark.parametrize("parse", [parse_id, device_id, fleet_id])
def test_ids(parse, text):
    assert parse(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "-a", "A", "a_b", "a.b", "a/b", "+", "#", "a b", " a", "a\n", "a\0", "\u0660", "\uff41", "\u00e4", "a" * 64, "a" * 100_000],
    ids=ascii,
)
@pytest.mark.parametrize("parse", [parse_id, device_id, fleet_id])
def test_everything_else_is_refused(parse, text):
    with refused(Refusal.ID_MALFORMED, PeerError):
        parse(text)


def test_the_refusal_does_not_repeat_a_text_of_any_length():
    with pytest.raises(PeerError) as caught:
        parse_id("A" * 100_000)
    assert len(str(caught.value)) < 300
