"""`hushfleet up` and `hushfleet down`: a real fleet on this machine that stays."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hushfleet.program.terminal import json_option, print_json, say
from hushfleet.typed import typed

if TYPE_CHECKING:
    from simulation.lasting.running import JobResult

_FLEET = click.option(
    "--fleet", default="fleet", show_default=True, type=click.Path(file_okay=False, path_type=Path), help="The fleet's folder."
)


@click.command(epilog="Example: hushfleet up --devices 8 --data data. The same again, without options, starts what does not run.")
@click.option("--devices", default=8, show_default=True, type=click.IntRange(1, 50), help="How many, at least 4; a process each.")
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A folder with a file for each device, .npz or .csv."
)
@click.option("--label", help="The labels' column in csv files. Default: the last one.")
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(1), help="Rounds of the first job.")
@click.option("--noise-multiplier", default=1.0, show_default=True, type=click.FloatRange(min=0, min_open=True), help="Its noise.")
@click.option("--broker-host", default="localhost", show_default=True, help="This machine's name for devices on other machines.")
@click.option("--detach", is_flag=True, help="Do not wait for the job.")
@click.option("--insecure-bits", type=click.IntRange(512, 2032), hidden=True, help="A key that anybody can break, for tests.")
@_FLEET
@json_option
def up(
    *,
    devices: int,
    data: Path | None,
    label: str | None,
    rounds: int,
    noise_multiplier: float,
    broker_host: str,
    detach: bool,
    insecure_bits: int | None,
    fleet: Path,
    as_json: bool,
) -> None:
    """Make a fleet on this machine and start it: vault, broker, devices, orchestrator, and a job that trains on the files in DATA.

    It stays: every part keeps its state, `down` ends the processes, and `up` starts them again. Needs Mosquitto.
    """
    from simulation.lasting import building, running  # noqa: PLC0415 -- the help needs no fleet
    from simulation.lasting.data import look  # noqa: PLC0415 -- as above
    from simulation.lasting.place import Place  # noqa: PLC0415 -- as above

    place, tell = Place(fleet), partial(say, err=as_json)
    if data is None and not place.is_whole():
        raise click.UsageError(f"there is no fleet in {fleet} yet: name the devices' data with --data FOLDER")
    with place.locked():
        if not place.is_whole():
            wanted = building.FleetChoices(devices, rounds, noise_multiplier, broker_host, insecure_bits or 3072)
            building.build(place, wanted, look(data or Path(), devices, label), tell)
        processes = running.start(place, tell)
    job = running.result(place) if detach else running.follow(place, processes, tell)
    if not as_json:
        say(*_lines(fleet, job))
        return
    names = {name: one.pid for name, one in processes.alive().items()}
    shown = {"released": job.released, "done": job.done, "accuracy": job.accuracy, "epsilon": job.epsilon, "delta": running.DELTA}
    facts = place.facts()
    print_json({"folder": str(fleet), "fleet": facts.fleet, "port": facts.port, "processes": names, "job": shown})


@click.command(epilog="Example: hushfleet down --fleet fleet. Or one device alone: hushfleet down pi-03")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@_FLEET
@json_option
def down(*, names: tuple[str, ...], fleet: Path, as_json: bool) -> None:
    """End the processes of a fleet that `up` started, or those of NAME. Everything is kept; `up` starts them again."""
    from simulation.lasting.place import Place  # noqa: PLC0415 -- as above
    from simulation.lasting.processes import Processes  # noqa: PLC0415 -- as above

    place = Place(fleet)
    place.facts()
    with place.locked():
        processes = Processes(place)
        ended = processes.end(names or processes.alive())
        left = sorted(processes.alive())
    if as_json:
        print_json({"folder": str(fleet), "ended": ended, "running": left})
        return
    say(f"Ended: {', '.join(ended)}." if ended else "Nothing of it was running.")
    say(f"Everything is kept in {fleet}. To start it again: {typed('up', '--fleet', fleet)}")


def _lines(fleet: Path, job: "JobResult") -> list[str]:
    state, vault = ("--state", fleet / "orchestrator"), ("--vault", fleet / "vault", "--passphrase-file", fleet / "passphrase")
    score = "" if job.accuracy is None else f"; {job.accuracy:.1%} of the held-out rows are told rightly"
    cost = "" if not job.epsilon else f". Each device spent epsilon {job.epsilon:.1f}: few devices hide one another little"
    return [
        f"{job.released} rounds released{score}{cost}." if job.done else f"The fleet runs; {job.released} rounds are released so far.",
        f"The model:          {typed('orchestrator', 'model', 'export', 'model.npz', *state)}",
        f"One device's view:  {typed('agent', 'status', '--state', fleet / 'agents' / 'pi-01' / 'state')}",
        f"Who is there:       {typed('orchestrator', 'devices', *state)}",
        f"One device more:    {typed('provision', 'approve', 'pi-07.request', *vault)}",
        f"To end it:          {typed('down', '--fleet', fleet)}",
    ]
