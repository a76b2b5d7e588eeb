"""Costs, and a ledger's life as a list of steps with what each leaves behind or why it is refused."""

from hushfleet.errors import LocalError
from hushfleet.privacy import Ledger, rho_nano

_KEYS = ("00" * 32, "5a" * 32)
_TERMS = ((8_906, 38, 3_750), (1, 2, 16), (12_701_631, 98, 2_073_736), (7, 99, 10**30))
_BAD_TERMS = (
    ((0, 38, 3_750), "plan-sensitivity"),
    ((8_906, 1, 3_750), "plan-honest-contributors"),
    ((8_906, 38, 15), "plan-variance"),
    ((8_906, 38, 0), "plan-variance"),
    ((8_906, 38, -16), "plan-variance"),
)
_STEPS = (
    ("charge", _KEYS[0], 1, (8_906, 38, 3_750)),
    ("charge", _KEYS[0], 1, (8_906, 38, 3_750)),
    ("charge", _KEYS[0], 1, (8_906, 38, 37_500)),
    ("charge", _KEYS[1], 1, (8_906, 38, 3_750)),
    ("without-privacy", _KEYS[0], 2, None),
    ("without-privacy", _KEYS[0], 1, None),
    ("charge", _KEYS[0], 2, (8_906, 38, 3_750)),
    ("charge", _KEYS[0], 3, (8_906, 38, 3_750)),
    ("charge", _KEYS[0], 3, (8_906, 38, 37_500)),
    ("charge", _KEYS[0][2:], 4, (8_906, 38, 37_500)),
)
_BUDGET = 70_000_000


def build() -> dict[str, object]:
    return {
        "costs": [{"terms": terms, "rho_nano": rho_nano(*terms)} for terms in _TERMS],
        "no_costs": [{"terms": terms, "refusal": refusal} for terms, refusal in _BAD_TERMS],
        "budget_nano": _BUDGET,
        "steps": list(_steps()),
    }


def _steps():
    ledger = Ledger()
    for kind, key_id, round_number, terms in _STEPS:
        shown = {"kind": kind, "key_id": key_id, "round": round_number, "terms": terms}
        try:
            ledger = step(ledger, shown, _BUDGET)
        except LocalError as error:
            shown["refusal"] = error.reason.value
        yield shown | {"spent_nano": ledger.spent_nano, "events": len(ledger.events)}


def step(ledger: Ledger, shown: dict, budget_nano: int) -> Ledger:
    """The ledger after one step."""
    place = bytes.fromhex(shown["key_id"]), shown["round"]
    if shown["terms"] is None:
        return ledger.record_without_privacy(*place)
    b2, honest, variance = shown["terms"]
    return ledger.charge(*place, b2=b2, honest=honest, variance=variance, budget_nano=budget_nano)
