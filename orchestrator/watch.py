"""`hushfleet orchestrator status --watch`: the fleet and its job in one view that renews itself.

Reads the store only, as `status` does, and fits 60 columns; without a terminal it is printed once.
"""

import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hushfleet.program.folder import Membership
from orchestrator.account import NANO
from orchestrator.store.reports import DeviceView, JobView, Reports
from orchestrator.text_views import remarks, status_lines

RENEW_S = 2.0
_STYLES = {"idle": "green", "working": "cyan", "sent": "cyan", "offline": "yellow", "never": "dim", "unreadable": "red"}


def watch(console: Console, fleet: Membership, reports: Reports, *, pause: Callable[[float], None] = time.sleep) -> None:
    """Show the view until Ctrl-C; once where the console is no terminal."""
    if not console.is_terminal:
        console.print(view(fleet, reports))
        return
    with Live(view(fleet, reports), console=console, auto_refresh=False) as live:
        try:
            while True:
                pause(RENEW_S)
                live.update(view(fleet, reports), refresh=True)
        except KeyboardInterrupt:
            return


def view(fleet: Membership, reports: Reports) -> RenderableType:
    """Everything at one moment."""
    job, roster = reports.job(), reports.roster().roster
    lines = [Text(line, overflow="fold") for line in status_lines(fleet, roster, job)]
    return Group(*lines, _progress(job), _table(reports.devices()))


def _progress(job: JobView | None) -> Text:
    if job is None or job.open_round is None:
        return Text("")
    wanted = job.contributions + job.missing
    done = job.contributions * 20 // max(1, wanted)
    return Text(f"round {job.open_round} [{'#' * done}{'.' * (20 - done)}] {job.contributions} of at least {wanted}")


def _table(devices: tuple[DeviceView, ...]) -> Table:
    table = Table(box=None, pad_edge=False, expand=False)
    for name, right in (("device", False), ("presence", False), ("rounds", True), ("left", True), ("cert", True), ("remarks", False)):
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "remarks", overflow="fold")
    for one in devices:
        there = one.presence.split()[0]
        ends = "-" if one.certificate_days is None else f"{max(0, one.certificate_days)} d"
        words = [*(["member"] if one.member else []), *remarks(one)]
        table.add_row(
            Text(one.device_id),
            Text(there, style=_STYLES.get(there, "")),
            Text(str(one.contributions)),
            Text(f"{one.rho_left_nano / NANO:.3g}"),
            Text(ends),
            Text(", ".join(words)),
        )
    return table
