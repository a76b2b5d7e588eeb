import functools
import json
from pathlib import Path

import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy import Ledger, rho_nano
from tests.support.refusals import refused

VECTORS = json.loads((Path(__file__).parent / "ledger.json").read_text())


@pytest.mark.parametrize("case", VECTORS["costs"])
def test_costs(case):
    assert rho_nano(*case["terms"]) == case["rho_nano"]


@pytest.mark.parametrize("case", VECTORS["no_costs"], ids=lambda case: case["refusal"])
def test_no_costs(case):
    with refused(Refusal(case["refusal"]), LocalError):
        rho_nano(*case["terms"])


def action(ledger, step):
    place = bytes.fromhex(step["key_id"]), step["round"]
    if step["kind"] == "without-privacy":
        return functools.partial(ledger.record_without_privacy, *place)
    terms = dict(zip(("b2", "honest", "variance"), step["terms"], strict=True))
    return functools.partial(ledger.charge, *place, **terms, budget_nano=VECTORS["budget_nano"])


def test_a_ledgers_life():
    ledger = Ledger()
    for step in VECTORS["steps"]:
        if "refusal" in step:
            with refused(Refusal(step["refusal"]), LocalError):
                action(ledger, step)()
        else:
            ledger = action(ledger, step)()
        assert (ledger.spent_nano, len(ledger.events)) == (step["spent_nano"], step["events"])
