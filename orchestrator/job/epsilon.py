"""What the cohort's devices have spent, as the epsilon that people compare (PROTOCOL 6)."""

from dp_accounting import NeighboringRelation, ZCDpEvent
from dp_accounting.rdp import RdpAccountant

from hushfleet.errors import LocalError, Refusal

_NANO = 10**9


def epsilon(rho_nano_total: int, delta: float) -> float:
    """The least epsilon, at `delta`, that dp-accounting derives from `rho_nano_total` nano-rho of zero-concentrated privacy.

    The total is what one device spent over its participations, as its ledger adds them. Neighbouring cohorts differ in one
    device whose update is replaced by zero. Every participation counts in full: no amplification by sampling is claimed,
    since the orchestrator, against whom it would have to hold, chooses the cohort. Contributions without privacy
    have no epsilon; the caller reports them as such. 0 for nothing spent.
    `LocalError` (`SETTINGS_INVALID`): a negative total, or `delta` outside (0, 1).
    """
    if rho_nano_total < 0 or not 0 < delta < 1:
        raise LocalError(Refusal.SETTINGS_INVALID, f"no epsilon for {rho_nano_total} nano-rho at delta {delta}; 0 < delta < 1 is expected")
    if rho_nano_total == 0:
        return 0.0
    accountant = RdpAccountant(neighboring_relation=NeighboringRelation.REPLACE_SPECIAL)
    accountant.compose(ZCDpEvent(rho_nano_total / _NANO))
    return float(accountant.get_epsilon(delta))
