import json
from pathlib import Path

import pytest

from hushfleet.encryption import SealingKey, SealingPublicKey, unseal
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label
from tests.support.refusals import refused

VECTORS = json.loads(Path(__file__).with_name("sealing.json").read_text())
KEY = SealingKey(bytes.fromhex(VECTORS["seed"]))


def test_the_public_key():
    assert KEY.public.raw.hex() == VECTORS["public"]


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["what"])
def test_opening(case):
    label, context, sealed = Label(VECTORS["label"]), bytes.fromhex(VECTORS["context"]), bytes.fromhex(case["sealed"])
    if case["refusal"] is None:
        assert unseal(KEY, label, context, sealed).hex() == VECTORS["content"]
        return
    with refused(Refusal(case["refusal"]), PeerError):
        unseal(KEY, label, context, sealed)


@pytest.mark.parametrize("raw", VECTORS["refused_keys"])
def test_refused_keys(raw):
    with refused(Refusal.KEY_MALFORMED, PeerError):
        SealingPublicKey(bytes.fromhex(raw))
