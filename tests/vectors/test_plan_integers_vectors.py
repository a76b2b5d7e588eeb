import json
from dataclasses import asdict
from pathlib import Path

import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.plan_integers import PlanIntegers, derive
from tests.support.refusals import refused

VECTORS = json.loads((Path(__file__).parent / "plan_integers.json").read_text())


@pytest.mark.parametrize("case", VECTORS["cases"])
def test_derived(case):
    assert asdict(derive(**case["asked"])) == case["plan"]
    assert asdict(PlanIntegers(**case["plan"])) == case["plan"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["refusal"])
def test_refused(case):
    with refused(Refusal(case["refusal"]), LocalError):
        derive(**case["asked"])


@pytest.mark.parametrize("case", VECTORS["tampered"], ids=lambda case: case["refusal"])
def test_tampered(case):
    with refused(Refusal(case["refusal"]), LocalError):
        PlanIntegers(**case["plan"])
