"""Plain lines for a person: a job's cost, its state, its rounds and its devices."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hushfleet.documents import Roster
from hushfleet.program.folder import Membership
from hushfleet.typed import typed
from orchestrator.account import NANO, Account, greatest, rest_lines
from orchestrator.store.reports import DeviceView, JobView, RoundView

if TYPE_CHECKING:  # with it come the models and the machines
    from orchestrator.job.check import CheckedJob


_SOON_DAYS = 30


def cost_lines(checked: "CheckedJob") -> Iterator[str]:
    """The cost of a job, a line each."""
    file, cost = checked.file, checked.cost
    yield f"{file.job.name}: {checked.model.architecture.name}, {cost.values} values, {file.job.rounds} rounds"
    cohort = f"{file.cohort.min_devices} to {file.cohort.max_devices} of {checked.enrolled} enrolled devices"
    yield f"cohort: {cohort}; scheme {checked.job.scheme}"
    if cost.rho_nano:
        yield f"privacy of a device that takes part in every round of this job, at delta {cost.delta:g}:"
        for rounds, value in cost.epsilons:
            yield f"  after {rounds:>5} rounds  epsilon {value:8.3f}  rho {rounds * cost.rho_nano / 1e9:.4f} of {cost.budget_nano / 1e9:g}"
        yield from _life_lines(checked)
        noise = checked.noise
        yield (
            f"noise on each value of the mean of {noise.devices} devices: {noise.per_value:.3g}, beside clip_norm {noise.clip_norm:g}"
            + (f" and an update of length {noise.update:.3g} before it is clipped" if noise.update is not None else "")
        )
    else:
        yield "privacy: no DP"
    yield (
        f"bytes a round: {cost.contribution_bytes:,} up and {cost.model_bytes:,} down per device; "
        f"each committee member reads up to {cost.request_bytes:,}"
    )
    if checked.holdout is not None:
        yield f"holdout: {len(checked.holdout)} rows"
    for note in checked.notes:
        yield f"note: {note}"


def _life_lines(checked: "CheckedJob") -> Iterator[str]:
    """The spending of the devices over their lives: so far, and with the rest of this job."""
    from hushfleet.privacy import epsilon  # noqa: PLC0415 -- with it comes numpy, which a status needs not

    pays, cost = checked.spending, checked.cost
    for line in rest_lines(pays.accounts, cost.rho_nano):
        yield f"budget: {line}"
    most = greatest(pays.accounts)
    if most is not None and most.spent_nano:
        after = most.spent_nano + pays.rounds * cost.rho_nano
        before = f"{epsilon(most.spent_nano, cost.delta):.3f} (rho {most.spent_nano / NANO:.4g})"
        yield f"over its life {most.device_id} has spent epsilon {before}; with this job {epsilon(after, cost.delta):.3f}"


def account_json(account: Account, rho_nano: int, delta: float) -> dict[str, object]:
    """A device's account as `check --json` gives it. `rounds_left`: at the cost of this job's round, None if that is nothing."""
    from hushfleet.privacy import epsilon  # noqa: PLC0415 -- as above

    return {
        "device_id": account.device_id,
        "trains": account.trains,
        "rho_spent_nano": account.spent_nano,
        "rho_left_nano": account.left_nano,
        "rounds_left": account.rounds_left(rho_nano),
        "epsilon_life": round(epsilon(account.spent_nano, delta), 4) if account.spent_nano else 0.0,
    }


def status_lines(fleet: Membership, roster: Roster, job: JobView | None) -> Iterator[str]:
    """The state of the fleet and its job."""
    yield f"fleet {fleet.fleet}, roster {roster.serial}, {len(roster.devices)} devices, committee {', '.join(roster.committee)}"
    if job is None:
        yield f"no job yet. Next: {typed('orchestrator', 'run', 'job.toml')}"
        return
    yield f"job {job.name}: {job.state}, {job.released} rounds released, {job.aborted} aborted, model version {job.version}"
    if job.open_round is not None:
        yield f"round {job.open_round} is open with {job.contributions} contributions" + (f", {job.missing} missing" if job.missing else "")
    yield f"present: {job.attendance}"
    if job.missing or (job.absence and job.open_round is None and not job.attendance.enough):
        yield f"  {job.absence}"
    yield f"best version {job.best_version}; archive {job.archive}"


def round_lines(views: Sequence[RoundView]) -> Iterator[str]:
    """A table of rounds."""
    yield f"{'round':>6} {'state':<11} {'devices':>7} {'version':>7} {'accuracy':>8} {'seconds':>8}  reason"
    for view in views:
        accuracy = "-" if view.accuracy is None else f"{view.accuracy:.1%}"
        seconds = "-" if view.duration_s is None else f"{view.duration_s:.1f}"
        version = "-" if view.version is None else view.version
        yield f"{view.number:>6} {view.state:<11} {view.contributions:>7} {version:>7} {accuracy:>8} {seconds:>8}  {view.reason}".rstrip()


def device_lines(views: Sequence[DeviceView]) -> Iterator[str]:
    """A table of devices."""
    width = max([6, *(len(view.device_id) for view in views)])
    yield f"{'device':<{width}} {'role':<6} {'presence':<8} {'rounds':>6} {'left':>6} {'cert':>5}  remarks"
    for view in views:
        role, there = "member" if view.member else "device", view.presence.split()[0]
        left, ends = view.rho_left_nano / NANO, "-" if view.certificate_days is None else f"{max(0, view.certificate_days)} d"
        line = f"{view.device_id:<{width}} {role:<6} {there:<8} {view.contributions:>6} {left:>6.4g} {ends:>5}  {', '.join(remarks(view))}"
        yield line.rstrip()
    for view in views:
        if view.dropped:
            yield f"{view.device_id} floods: {view.dropped} of its messages were dropped unread, the last at {view.dropped_at}"


def remarks(view: DeviceView) -> Iterator[str]:
    """Everything about a device that somebody should see."""
    if view.stays_out:
        yield f"stays out: {view.stays_out}"
    if view.certificate_days is not None and view.certificate_days < 0:
        yield "certificate expired"
    elif view.certificate_days is not None and view.certificate_days <= _SOON_DAYS:
        yield "renew its certificate"
    if view.shown:
        yield view.shown
