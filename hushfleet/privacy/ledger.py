"""The account of what a device has spent of its lifetime budget: a pure machine over immutable events, counted in nano-rho (PROTOCOL 2, 6).

rho is zero-concentrated differential privacy of whole devices (zero-out neighbours). No clock, no files: the
device stores the event in the same transaction as its signed contribution, before the first byte leaves.
"""

from dataclasses import dataclass
from enum import StrEnum

from hushfleet.errors import BudgetError, LocalError, Refusal
from hushfleet.ids import HASH_BYTES
from hushfleet.privacy.integer_rules import LEAST_HONEST, LEAST_VARIANCE

NANO = 10**9


class EventKind(StrEnum):
    """The name of an event where it is stored."""

    PARTICIPATION = "participation"
    WITHOUT_PRIVACY = "without-privacy"


def rho_nano(b2: int, honest: int, variance: int) -> int:
    """The cost of one participation, ceil(10^9 B2 / (2 h V)): computed by whoever relies on it, never read from a plan.

    `LocalError`: `PLAN_SENSITIVITY` (B2 < 1), `PLAN_HONEST_CONTRIBUTORS` (h < 2), `PLAN_VARIANCE` (V < 16).
    """
    _require_whole(b2, 1, Refusal.PLAN_SENSITIVITY, "B2")
    _require_whole(honest, LEAST_HONEST, Refusal.PLAN_HONEST_CONTRIBUTORS, "h")
    _require_whole(variance, LEAST_VARIANCE, Refusal.PLAN_VARIANCE, "V")
    return -(-NANO * b2 // (2 * honest * variance))


@dataclass(frozen=True, slots=True)
class Participation:
    """One differentially private contribution and its cost, at least 1. `LocalError` (`LEDGER_INVALID`) for anything else."""

    key_id: bytes
    round_number: int
    rho_nano: int

    def __post_init__(self) -> None:
        _check_place(self.key_id, self.round_number)
        _require_whole(self.rho_nano, 1, Refusal.LEDGER_INVALID, "the cost of a participation")

    @property
    def kind(self) -> EventKind:
        """The kind of this entry, `participation`."""
        return EventKind.PARTICIPATION


@dataclass(frozen=True, slots=True)
class WithoutPrivacy:
    """One contribution under a plan without noise. No rho describes it: it costs nothing because nothing is promised."""

    key_id: bytes
    round_number: int

    def __post_init__(self) -> None:
        _check_place(self.key_id, self.round_number)

    @property
    def rho_nano(self) -> int:
        """The cost, 0, because nothing is promised."""
        return 0

    @property
    def kind(self) -> EventKind:
        """The kind of this entry, `without-privacy`."""
        return EventKind.WITHOUT_PRIVACY


LedgerEntry = Participation | WithoutPrivacy


def revive(kind: str, key_id: bytes, round_number: int, rho_nano: int) -> LedgerEntry:
    """The event that was stored under these four values. `LocalError` (`LEDGER_INVALID`) for an unknown kind or a cost it cannot have."""
    if kind == EventKind.PARTICIPATION:
        return Participation(key_id, round_number, rho_nano)
    if kind == EventKind.WITHOUT_PRIVACY and rho_nano == 0:
        return WithoutPrivacy(key_id, round_number)
    raise LocalError(Refusal.LEDGER_INVALID, f"an event of kind {kind!r} that costs {rho_nano}")


@dataclass(frozen=True, slots=True)
class Ledger:
    """A device's events under every key id it ever had. They share one budget; only re-enrolment starts an empty ledger.

    `LocalError` (`LEDGER_INVALID`): an unknown kind of event, or two events for one (key id, round).
    """

    events: tuple[LedgerEntry, ...] = ()

    def __post_init__(self) -> None:
        if not all(isinstance(event, Participation | WithoutPrivacy) for event in self.events):
            raise LocalError(Refusal.LEDGER_INVALID, "an event of unknown kind")
        if len({(event.key_id, event.round_number) for event in self.events}) < len(self.events):
            raise LocalError(Refusal.LEDGER_INVALID, "two events for one round")

    @property
    def spent_nano(self) -> int:
        """The sum over all key ids."""
        return sum(event.rho_nano for event in self.events)

    @property
    def without_privacy(self) -> bool:
        """True if any contribution was made without privacy."""
        return any(event.kind is EventKind.WITHOUT_PRIVACY for event in self.events)

    def find(self, key_id: bytes, round_number: int) -> LedgerEntry | None:
        """The event of that round, if there is one."""
        return next((event for event in self.events if (event.key_id, event.round_number) == (key_id, round_number)), None)

    def last_round(self, key_id: bytes) -> int:
        """The highest round contributed to under `key_id`; -1, below every round, if there is none."""
        return max((event.round_number for event in self.events if event.key_id == key_id), default=-1)

    def charge(self, key_id: bytes, round_number: int, *, b2: int, honest: int, variance: int, budget_nano: int) -> "Ledger":
        """The ledger after one participation of h = `honest`, within the policy's budget. The same one again: the same ledger.

        Raises and leaves everything as it was: `BudgetError` (`BUDGET_EXHAUSTED`, also when a newer policy has lowered the
        budget below what is spent); `LocalError` `PLAN_ROUND_REPEATED` if the round holds a different event, `LEDGER_INVALID`
        for a negative budget, and as `rho_nano` and `Participation`. V = 0 is refused: see `record_without_privacy`.
        """
        _require_whole(budget_nano, 0, Refusal.LEDGER_INVALID, "the budget")
        event = Participation(key_id, round_number, rho_nano(b2, honest, variance))
        return self if self._holds(event) else self._paid(event, budget_nano)

    def record_without_privacy(self, key_id: bytes, round_number: int) -> "Ledger":
        """The ledger after one contribution under a plan without noise, which needs no budget. Other errors as `charge`."""
        event = WithoutPrivacy(key_id, round_number)
        return self if self._holds(event) else Ledger((*self.events, event))

    def _holds(self, event: LedgerEntry) -> bool:
        held = self.find(event.key_id, event.round_number)
        if held not in (None, event):
            raise LocalError(Refusal.PLAN_ROUND_REPEATED, f"round {event.round_number} is already in the ledger at another cost")
        return held is not None

    def _paid(self, event: Participation, budget_nano: int) -> "Ledger":
        left = max(0, budget_nano - self.spent_nano)
        if event.rho_nano > left:
            raise BudgetError(
                Refusal.BUDGET_EXHAUSTED,
                f"one more participation costs {event.rho_nano} nano-rho; {left} of {budget_nano} are left.",
                next_step="Only the owner can raise budget_rho in the policy; more noise or more devices make a round cheaper.",
            )
        return Ledger((*self.events, event))


def _check_place(key_id: bytes, round_number: int) -> None:
    if type(key_id) is not bytes or len(key_id) != HASH_BYTES:
        raise LocalError(Refusal.LEDGER_INVALID, f"a key id of other than {HASH_BYTES} bytes")
    _require_whole(round_number, 0, Refusal.LEDGER_INVALID, "the round")


def _require_whole(value: int, least: int, reason: Refusal, name: str) -> None:
    if type(value) is not int or value < least:
        raise LocalError(reason, f"{name} is {value!r}; a whole number of at least {least} is expected")
