"""What a device has spent of its lifetime budget: a pure machine over immutable events, counted in nano-rho (PROTOCOL 2, 6).

rho is zero-concentrated differential privacy of whole devices (zero-out neighbours). No clock, no files: the
device stores the event in the same transaction as its signed contribution, before the first byte leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from hushfleet.errors import BudgetError, LocalError, Refusal
from hushfleet.ids import HASH_BYTES
from hushfleet.privacy.rules import LEAST_HONEST, LEAST_VARIANCE

NANO = 10**9


class EventKind(StrEnum):
    """How an event is named where it is stored."""

    PARTICIPATION = "participation"
    WITHOUT_PRIVACY = "without-privacy"


def rho_nano(b2: int, honest: int, variance: int) -> int:
    """ceil(10^9 B2 / (2 h V)): the cost of one participation in nano-rho, computed by whoever relies on it, never read from a plan.

    `LocalError`: `PLAN_SENSITIVITY` (B2 < 1), `PLAN_HONEST_CONTRIBUTORS` (h < 2), `PLAN_VARIANCE` (V < 16).
    """
    _require_whole(b2, 1, Refusal.PLAN_SENSITIVITY, "B2")
    _require_whole(honest, LEAST_HONEST, Refusal.PLAN_HONEST_CONTRIBUTORS, "h")
    _require_whole(variance, LEAST_VARIANCE, Refusal.PLAN_VARIANCE, "V")
    return -(-NANO * b2 // (2 * honest * variance))


@dataclass(frozen=True, slots=True)
class Participation:
    """One differentially private contribution. Errors as `rho_nano`, and `LEDGER_INVALID` for the key id (32 bytes) or round."""

    key_id: bytes
    round_number: int
    b2: int
    honest: int
    variance: int

    def __post_init__(self) -> None:
        _check_place(self.key_id, self.round_number)
        rho_nano(self.b2, self.honest, self.variance)

    @property
    def rho_nano(self) -> int:
        """What it cost."""
        return rho_nano(self.b2, self.honest, self.variance)

    @property
    def kind(self) -> EventKind:
        """`participation`."""
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
        """0."""
        return 0

    @property
    def kind(self) -> EventKind:
        """`without-privacy`."""
        return EventKind.WITHOUT_PRIVACY


Event = Participation | WithoutPrivacy


def revive(kind: str, key_id: bytes, round_number: int, numbers: Sequence[int]) -> Event:
    """The stored event: `numbers` is (B2, h, V) of a participation, empty without privacy. `LEDGER_INVALID` for anything else."""
    if kind == EventKind.PARTICIPATION and len(numbers) == 3:
        return Participation(key_id, round_number, *numbers)
    if kind == EventKind.WITHOUT_PRIVACY and not numbers:
        return WithoutPrivacy(key_id, round_number)
    raise LocalError(Refusal.LEDGER_INVALID, f"an event of kind {kind!r} with {len(numbers)} numbers")


@dataclass(frozen=True, slots=True)
class Ledger:
    """A device's events under every key id it ever had, and the budget they share (the policy's, in nano-rho).

    Only re-enrolment starts an empty one. `LocalError` (`LEDGER_INVALID`): negative budget, unknown kind of event,
    two events for one (key id, round). A sum above the budget is allowed here, since a later policy may lower it.
    """

    budget_nano: int
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        _require_whole(self.budget_nano, 0, Refusal.LEDGER_INVALID, "the budget")
        if not all(isinstance(event, Participation | WithoutPrivacy) for event in self.events):
            raise LocalError(Refusal.LEDGER_INVALID, "an event of unknown kind")
        if len({(event.key_id, event.round_number) for event in self.events}) < len(self.events):
            raise LocalError(Refusal.LEDGER_INVALID, "two events for one round")

    @property
    def spent_nano(self) -> int:
        """The sum over all key ids."""
        return sum(event.rho_nano for event in self.events)

    @property
    def left_nano(self) -> int:
        """What may still be spent, at least 0."""
        return max(0, self.budget_nano - self.spent_nano)

    @property
    def without_privacy(self) -> bool:
        """Whether any contribution was made without privacy."""
        return any(event.kind is EventKind.WITHOUT_PRIVACY for event in self.events)

    def find(self, key_id: bytes, round_number: int) -> Event | None:
        """The event of that round, if there is one."""
        return next((event for event in self.events if (event.key_id, event.round_number) == (key_id, round_number)), None)

    def under(self, budget_nano: int) -> "Ledger":
        """The same events under the budget of a newer policy."""
        return replace(self, budget_nano=budget_nano)

    def charge(self, key_id: bytes, round_number: int, b2: int, honest: int, variance: int) -> "Ledger":
        """The ledger after one participation, whose h is `honest`. The same participation again: the same ledger, no second charge.

        Raises and leaves everything as it was: `BudgetError` (`BUDGET_EXHAUSTED`); `LocalError` `PLAN_ROUND_REPEATED` if
        the round holds a different event; `PLAN_SENSITIVITY`, `PLAN_HONEST_CONTRIBUTORS`, `PLAN_VARIANCE`, `LEDGER_INVALID`.
        """
        return self._record(Participation(key_id, round_number, b2, honest, variance))

    def record_without_privacy(self, key_id: bytes, round_number: int) -> "Ledger":
        """The ledger after one contribution under a plan without noise. Errors as `charge`, except that no budget is needed."""
        return self._record(WithoutPrivacy(key_id, round_number))

    def _record(self, event: Event) -> "Ledger":
        held = self.find(event.key_id, event.round_number)
        if held == event:
            return self
        if held is not None:
            raise LocalError(Refusal.PLAN_ROUND_REPEATED, f"round {event.round_number} is already in the ledger with other terms")
        if event.rho_nano > self.left_nano:
            raise BudgetError(
                Refusal.BUDGET_EXHAUSTED,
                f"one more participation costs {event.rho_nano} nano-rho; {self.left_nano} of {self.budget_nano} are left.",
                next_step="Only the owner can raise budget_rho in the policy; more noise or more devices make a round cheaper.",
            )
        return replace(self, events=(*self.events, event))


def _check_place(key_id: bytes, round_number: int) -> None:
    if type(key_id) is not bytes or len(key_id) != HASH_BYTES:
        raise LocalError(Refusal.LEDGER_INVALID, f"a key id of other than {HASH_BYTES} bytes")
    _require_whole(round_number, 0, Refusal.LEDGER_INVALID, "the round")


def _require_whole(value: int, least: int, reason: Refusal, name: str) -> None:
    if type(value) is not int or value < least:
        raise LocalError(reason, f"{name} is {value!r}; a whole number of at least {least} is expected")
