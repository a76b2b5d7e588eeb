"""The total that a device has spent, as the epsilon that people compare (PROTOCOL 6).

Zero-concentrated privacy of `rho` bounds, for every alpha > 1 and any two neighbours P and Q, the privacy loss
Z = log(P(x) / Q(x)) with x from P:  E[exp((alpha - 1) Z)] <= exp((alpha - 1) alpha rho).  Two bounds follow, and the less one holds.

1. Canonne, Kamath and Steinke 2020 (arXiv:2004.00010), proposition 12. (epsilon, delta)-privacy asks that
   E[max(0, 1 - exp(epsilon - Z))] is at most delta. With u = Z - epsilon, max(0, 1 - exp(-u)) is at most c exp((alpha - 1) u), where
   c is the maximum of exp(-(alpha - 1) u) (1 - exp(-u)). It lies at exp(-u) = 1 - 1/alpha:  c = (1 - 1/alpha)^(alpha - 1) / alpha.
   So delta <= c exp((alpha - 1) (alpha rho - epsilon)). Solved for epsilon, with t = alpha - 1 > 0 and L = log(1 / delta):

       epsilon(t) = (1 + t) rho + (L - log(1 + t)) / t - log(1 + 1/t).

   Every t > 0 gives a true bound, so an inexact search costs tightness and never truth. The derivative is
   rho - (L - log(1 + t)) / t^2. It has the sign of rho t^2 + log(1 + t) - L, which grows with t from -L < 0 without end and so is 0 once:
   epsilon(t) falls before that t and rises after it. Bisection finds it below sqrt(L / rho), where the first term alone is L.
   A least value below 0 means that delta covers epsilon = 0 too.
2. Bretagnolle and Huber 1979: the total variation is at most sqrt(1 - exp(-rho)), since alpha -> 1 bounds the relative entropy by rho.
   Where delta is no less than that, epsilon is 0.
"""

from math import expm1, log, log1p, sqrt

from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy.ledger import NANO

#: No ledger comes near it, and no step below overflows under it.
GREATEST_TOTAL = 10**30
_SLACK = 2.0**-48  # the terms are each right to a few units of 2^-53, libm's log and log1p included


def epsilon(rho_nano_total: int, delta: float) -> float:
    """The least epsilon at `delta` that follows from `rho_nano_total` nano-rho, rounded up.

    The total is what one device spent over its participations, as its ledger adds them. Neighbouring cohorts differ in one
    device whose update is replaced by zero. Every participation counts in full: no amplification by sampling is claimed,
    since the orchestrator, against whom it would have to hold, chooses the cohort. Contributions without privacy
    have no epsilon; the caller reports them as such. 0 for nothing spent.
    `LocalError` (`SETTINGS_INVALID`): a total outside 0..`GREATEST_TOTAL`, or `delta` outside (0, 1).
    """
    if type(rho_nano_total) is not int or not 0 <= rho_nano_total <= GREATEST_TOTAL:
        raise _invalid(f"a total of {rho_nano_total!r} nano-rho; a whole number from 0 to 10^30 is expected")
    if not 0 < delta < 1:
        raise _invalid(f"a delta of {delta!r}; more than 0 and less than 1 is expected, well below 1 / devices")
    rho = rho_nano_total / NANO
    if -expm1(-rho) <= delta * delta * (1 - _SLACK):
        return 0.0
    return max(0.0, _bound(_best_order(rho, -log(delta)), rho, -log(delta)))


def _best_order(rho: float, needed: float) -> float:
    """The zero t of rho t^2 + log(1 + t) - `needed`, to the last bit or just above."""
    low, high = 0.0, sqrt(needed / rho)
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if rho * middle * middle + log1p(middle) >= needed else (middle, high)
    return high


def _bound(t: float, rho: float, needed: float) -> float:
    """epsilon(t), greater by more than all the rounding in it."""
    terms = ((1 + t) * rho, (needed - log1p(t)) / t, -log1p(1 / t))
    return sum(terms) + _SLACK * (terms[0] + (needed + log1p(t)) / t - terms[2])


def _invalid(message: str) -> LocalError:
    return LocalError(Refusal.SETTINGS_INVALID, message, next_step="See docs/privacy.md, Epsilon, rounds and noise.")
