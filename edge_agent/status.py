"""The state of an agent, read from its folder, also while it runs."""

from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from edge_agent.data.verdict import read_verdict
from edge_agent.enrolment import enrolled
from edge_agent.folder import DeviceKeys, StateFolder
from edge_agent.kept_models import KeptModels
from edge_agent.logs import RecentProblems
from edge_agent.store import Store
from hushfleet.documents import VerifiedRoster
from hushfleet.errors import LocalError, Refusal
from hushfleet.link.tls import certificate_day
from hushfleet.privacy import Ledger
from hushfleet.program.certificate_age import certificate_text, days_left
from hushfleet.program.folder import Membership
from hushfleet.typed import typed

_NANO = 10**9
_CONTRADICTION = "two signed documents contradict each other; ask the owner"
_STOPS = {
    "store-rolled-back": f"the store was put back to an earlier state; stop every copy of it, then: {typed('agent', 'recover')}",
    "recovered": "as a member, until the committee's key is dealt anew: the store was put back to an earlier state",
}


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a device. Rho counts over all key ids. `rounds_left`: at the cost of the last contribution, None if it cost nothing."""

    device_id: str
    state: str
    running: str | None
    fleet: str | None
    broker: str | None
    root_fingerprint: str | None
    roster_serial: int | None
    key_id: str | None
    key_epoch: int | None
    committee: bool
    key_share: bool
    key_dealt: bool
    stopped: bool
    stops: tuple[str, ...]
    """The reasons for which this device, or the member in it, has stopped under the key in force."""
    round: int
    waits_for_receipt: bool
    rho_spent: float
    rho_budget: float | None
    rounds_left: int | None
    without_privacy: bool
    problems: tuple[dict[str, str], ...]
    data: dict[str, Any] | None = None
    """The verdict on the training data (`edge_agent.data.verdict`); None before the agent has looked, or where nothing is trained."""
    data_line: str = ""
    certificate_days: int | None = None
    """Whole days until this device's certificate ends, negative once it has; None before it joined."""
    certificate_line: str = ""
    healthy: bool = True
    model: dict[str, Any] | None = None
    """The version of the fleet's model in use here: its job, number, date, and if it is pinned. None before the first release."""

    def as_json(self) -> dict[str, object]:
        """The fields by name, for `--json`."""
        return {name: value for name, value in asdict(self).items() if name not in ("data_line", "certificate_line")}

    def as_lines(self) -> tuple[str, ...]:
        """The state in lines for a person."""
        return tuple(f"{name:<14} {value}" for name, value in self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        rows = [
            ("device", self.device_id),
            ("state", f"{self.state} ({self.running or 'no agent runs on it'})"),
            ("fleet", self.fleet or "not joined yet"),
        ]
        if self.fleet and self.key_id:
            waits = self.key_dealt and not self.key_share
            committee = "a member" + (", its key share has not come yet" if waits else "") if self.committee else "not a member"
            rows += [
                ("broker", str(self.broker)),
                ("root key", str(self.root_fingerprint)),
                ("roster", f"serial {self.roster_serial}, key epoch {self.key_epoch}, key {self.key_id[:16]}"),
                ("committee", committee),
                ("round", f"{self.round}" + (", contribution waits for its receipt" if self.waits_for_receipt else "")),
                ("budget", self._budget()),
                ("certificate", self.certificate_line),
            ]
        rows += [("data", self.data_line), ("model", self._model())]
        rows += [("stopped", _STOPS.get(reason, _CONTRADICTION)) for reason in self.stops]
        rows += [("privacy", "took part in a plan without privacy")] if self.without_privacy else []
        return rows + [("problem", f"{one['at']} {one['text']}") for one in self.problems]

    def _model(self) -> str:
        if self.model is None:
            return "none released yet"
        pinned = ", pinned" if self.model["pinned"] else ""
        return f"version {self.model['version']} of {self.model['job']}, since {self.model['date']}{pinned}"

    def _budget(self) -> str:
        left = "" if self.rounds_left is None else f"; about {self.rounds_left} more rounds like the last"
        return f"rho {self.rho_spent:.4f} of {self.rho_budget:.4f} spent{left}"


def read_status(folder: StateFolder) -> Status:
    """Raises `LocalError`: `NOT_ENROLLED` without keys, otherwise as `Store`."""
    if not enrolled(folder):
        raise LocalError(Refusal.NOT_ENROLLED, f"no device is enrolled in {folder.path}", next_step=f"Run: {typed('agent', 'enrol')}")
    keys, fleet = DeviceKeys.load(folder.path), folder.fleet()
    with closing(Store(folder.path, may_change=folder.holder() is None)) as store:
        return _status(folder, keys.device_id, fleet, store)


def _status(folder: StateFolder, device_id: str, fleet: Membership | None, store: Store) -> Status:
    roster = store.roster(fleet.root) if fleet else None
    verdict = read_verdict(folder.path)
    ledger, seen = store.ledger(), store.seen()
    budget = roster.policy.budget_nano_rho if roster else None
    stops = store.stops(roster.key_id) if roster else ()
    day = certificate_day(folder.certificate)
    return Status(
        device_id=device_id,
        state=str(folder.path),
        running=folder.holder(),
        fleet=fleet.fleet if fleet else None,
        broker=f"{fleet.broker_host}:{fleet.broker_port}" if fleet else None,
        root_fingerprint=fleet.root_fingerprint if fleet else None,
        roster_serial=roster.roster.serial if roster else None,
        key_id=roster.key_id.hex() if roster else None,
        key_epoch=roster.roster.key_epoch if roster else None,
        committee=roster is not None and device_id in roster.roster.committee,
        key_share=roster is not None and store.holds_share(roster.key_id),
        key_dealt=roster is not None and bool(roster.roster.paillier),
        stopped=bool(stops),
        stops=stops,
        round=seen.get(roster.key_id, 0) if roster else 0,
        waits_for_receipt=store.waits_for_receipt(),
        rho_spent=ledger.spent_nano / _NANO,
        rho_budget=budget / _NANO if budget is not None else None,
        rounds_left=_rounds_left(ledger, roster),
        without_privacy=ledger.without_privacy,
        problems=tuple({"at": one.at, "level": one.level, "text": one.text} for one in RecentProblems(folder.path).read()),
        data=msgspec.to_builtins(verdict) if verdict else None,
        data_line=verdict.text
        if verdict
        else f"not looked at yet; the running agent does, or: {typed('agent', 'config', 'check', '--data')}",
        certificate_days=days_left(day) if day else None,
        certificate_line=certificate_text(day),
        model=_model_in_use(folder),
        healthy=not stops and (verdict is None or verdict.healthy) and (day == 0 or days_left(day) >= 0),
    )


def _model_in_use(folder: StateFolder) -> dict[str, Any] | None:
    kept = KeptModels(folder.path)
    if not kept.versions():
        return None
    card, pinned = kept.current().card, kept.pinned() is not None
    return {"job": card.job, "version": card.version, "date": card.date, "pinned": pinned}


def _rounds_left(ledger: Ledger, roster: VerifiedRoster | None) -> int | None:
    cost = ledger.events[-1].rho_nano if ledger.events else 0
    return max(0, roster.policy.budget_nano_rho - ledger.spent_nano) // cost if roster and cost else None
