"""The reasons why devices are not among the contributors of a round, from what they say of themselves."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from hushfleet.documents import Plan, VerifiedPlan, VerifiedRoster, is_selected
from hushfleet.errors import Refusal
from hushfleet.wire import DeviceStatus, Presence
from orchestrator.account import NANO, named

_OUT: Mapping[Refusal, tuple[str, str]] = {
    Refusal.MODEL_ABSENT: ("has no model of this name", "have no model of this name"),
    Refusal.TRAINING_DISABLED: ("does not train", "do not train"),
    Refusal.ROSTER_OLDER: ("holds an older roster", "hold an older roster"),
    Refusal.PLAN_ROSTER: ("holds a newer roster", "hold a newer roster"),
    Refusal.NOT_ENROLLED: ("was enrolled anew elsewhere", "were enrolled anew elsewhere"),
    Refusal.EQUIVOCATION: ("has stopped: two documents contradict each other", "have stopped: two documents contradict each other"),
}
_NEVER, _OFFLINE, _WORKING, _SENT = "never heard of", "offline", "at work", "with a contribution on its way"
_NOT_ASKED, _SILENT, _READY = "not asked", "without an answer yet", "ready"
_AWAY = (_NEVER, _OFFLINE)
_COMING = (_WORKING, _SENT, _SILENT, _READY)
_BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Absence:
    """The devices that have not contributed: reason -> names, and how many contributions there are of how many that are needed."""

    order: tuple[str, ...]
    accepted: int
    least: int
    by_reason: Mapping[str, tuple[str, ...]]
    rest: Mapping[str, tuple[int, int]]
    """The rest and the whole of the budget by device, in 10^-9 rho."""

    @property
    def hopeless(self) -> bool:
        """True if not enough devices are left that might still contribute."""
        return self.accepted + sum(len(self.by_reason.get(one, ())) for one in _COMING) < self.least

    def __str__(self) -> str:
        present = sum(len(names) for reason, names in self.by_reason.items() if reason not in _AWAY)
        silent = f"{present} present, none answered: " if present and not self.accepted and self.hopeless else ""
        return f"{self.accepted} of {self.least}: {silent}{self.reasons}"

    @property
    def reasons(self) -> str:
        """The reasons alone, the most frequent first."""
        return ", ".join(self._parts()) or "nobody else is enrolled"

    def _parts(self) -> Iterator[str]:
        for reason, names in self.by_reason.items():
            if reason == _BUDGET:
                yield from self._budgets(names)
            elif reason in _OUT:
                yield f"{len(names)} {_OUT[Refusal(reason)][len(names) > 1]} ({named(names, self.order)})"
            elif reason in (*_AWAY, *_COMING, _NOT_ASKED):
                yield f"{len(names)} {reason}"
            else:
                verb = "refuses" if len(names) == 1 else "refuse"
                yield f"{len(names)} {verb} the plan: {reason} ({named(names, self.order)})"

    def _budgets(self, names: tuple[str, ...]) -> Iterator[str]:
        for rest in sorted({self.rest[name] for name in names}):
            some = [name for name in names if self.rest[name] == rest]
            verb = "has" if len(some) == 1 else "have"
            yield f"budget: {named(some, self.order)} {verb} {rest[0] / NANO:.4g} of {rest[1] / NANO:.4g} left"


def absence(
    roster: VerifiedRoster,
    said: Mapping[str, DeviceStatus],
    *,
    least: int,
    rho_nano: int = 0,
    plan: VerifiedPlan | None = None,
    accepted: Collection[str] = (),
) -> Absence:
    """The absence of everybody who is not in `accepted`, in the round of `plan`, or in one that has not begun and costs `rho_nano`."""
    budget = roster.policy.budget_nano_rho
    order = tuple(sorted(entry.device_id for entry in roster.roster.devices))
    found: dict[str, list[str]] = {}
    rest: dict[str, tuple[int, int]] = {}
    for name in order:
        if name in accepted:
            continue
        status = said.get(name)
        reason = _reason(name, status, rho_nano, plan)
        found.setdefault(reason, []).append(name)
        left = status.readiness.left_nano if status else None
        rest[name] = (left or 0, budget)
    by_reason = {reason: tuple(names) for reason, names in sorted(found.items(), key=lambda item: -len(item[1]))}
    return Absence(order, len(accepted), least, by_reason, rest)


def takes_part(status: DeviceStatus, rho_nano: int) -> bool:
    """True if a device is present, trains, and did not say that a round of this cost is more than it has left."""
    left = status.readiness.left_nano
    trains = status.readiness.out is not Refusal.TRAINING_DISABLED
    return status.presence is not Presence.OFFLINE and trains and (left is None or left >= rho_nano)


def _reason(name: str, status: DeviceStatus | None, rho_nano: int, plan: VerifiedPlan | None) -> str:
    if status is None or status.presence is Presence.OFFLINE:
        return _OFFLINE if status else _NEVER
    if (out := _out(status, rho_nano, plan.plan if plan else None)) is not None:
        return _BUDGET if out is Refusal.BUDGET_EXHAUSTED else out.value
    if plan is None:
        return _READY
    if not is_selected(plan, name):
        return _NOT_ASKED
    at_work = {Presence.WORKING: _WORKING, Presence.SENT: _SENT} if status.round >= plan.plan.round else {}
    return at_work.get(status.presence, _SILENT)


def _out(status: DeviceStatus, rho_nano: int, plan: Plan | None) -> Refusal | None:
    """The reason that holds for this round: one that was given for it, or one that holds for all."""
    out, left = status.readiness.out, status.readiness.left_nano
    if out is Refusal.TRAINING_DISABLED:
        return out
    paid_for = plan is not None and status.round >= plan.round and out is None
    if left is not None and left < rho_nano and not paid_for:
        return Refusal.BUDGET_EXHAUSTED
    # A device that holds another roster than the plan's cannot say which round it is.
    here = plan is not None and (status.round == plan.round or out in (Refusal.ROSTER_OLDER, Refusal.PLAN_ROSTER))
    return out if here else None
