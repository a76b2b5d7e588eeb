"""`hushfleet agent`: what a person types on a device. Commands import what they need when they run."""

import os
import socket
from pathlib import Path

import click

from edge_agent.cli_config import config
from edge_agent.cli_model import model, predict
from edge_agent.cli_state import folder_of, service_option
from edge_agent.config import ENVIRONMENT, Config, load
from hushfleet.errors import PeerError
from hushfleet.program.output import ask_to_replace
from hushfleet.program.settings import strange_variables
from hushfleet.program.terminal import ask, config_option, json_option, print_json, say, state_option, yes_option
from hushfleet.typed import typed

_STATE, _CONFIG = state_option(ENVIRONMENT, "agent"), config_option(ENVIRONMENT, "agent")


@click.group(epilog="Example: hushfleet agent enrol --name pi-01, then: hushfleet agent join pi-01.bundle, then: hushfleet agent run")
def agent() -> None:
    """This device: its keys, its fleet, its service."""
    for text in strange_variables(Config, os.environ, ENVIRONMENT, ("STATE", "CONFIG")):
        say(f"Warning: {text}", err=True)


@agent.command(epilog="Example: sudo hushfleet agent enrol --service --name pi-01")
@click.option("--name", help="The device's id: a-z, 0-9 and '-'. Default: the host name.")
@click.option("--out", default=".", type=click.Path(file_okay=False, exists=True, path_type=Path), help="Where NAME.request goes.")
@click.option("--anew", is_flag=True, help="Forget the keys that are here, and the ledger.")
@_STATE
@service_option
@yes_option
@json_option
def enrol(*, name: str | None, out: Path, anew: bool, state: Path | None, service: bool, yes: bool, as_json: bool) -> None:
    """Make this device's keys, here and nowhere else, and write NAME.request for the fleet's owner."""
    from edge_agent import enrolment  # noqa: PLC0415 -- the cryptography, when it is needed

    folder, device_id = folder_of(state, service=service), _id(name or _host_name())
    if anew and enrolment.enrolled(folder):
        ask("New keys mean a new device to the fleet, and an empty ledger: what was spent of its budget is forgotten. Go on?", yes=yes)
    ask_to_replace(out / f"{device_id}.request", yes=yes)
    request = enrolment.enrol(folder, device_id, anew=anew)
    path, bundle = enrolment.write_request(request, out), f"{request.device_id}.bundle"
    say(
        f"Keys made in {folder.path}; they stay there.",
        f"Request:     {path}",
        f"Fingerprint: {request.fingerprint}",
        f"Bring the file to the owner, who types:  {typed('provision', 'approve', path.name)}",
        "and compares the fingerprint with this one. Then, with the bundle that comes back, type here:  "
        + (f"sudo {typed('agent', 'install', bundle)}" if service else typed("agent", "join", bundle)),
        err=as_json,
    )
    if as_json:
        print_json({"device_id": request.device_id, "request": str(path), "fingerprint": request.fingerprint})


@agent.command(epilog="Example: hushfleet agent join pi-01.bundle")
@click.argument("bundle", type=click.Path(path_type=Path))
@_STATE
@service_option
@_CONFIG
@yes_option
@json_option
def join(*, bundle: Path, state: Path | None, service: bool, config_path: Path | None, yes: bool, as_json: bool) -> None:
    """Join the fleet whose owner made BUNDLE from this device's request."""
    from edge_agent.enrolment import join_fleet  # noqa: PLC0415 -- as above

    folder = folder_of(state, service=service)
    offer = join_fleet(folder, bundle, yes=yes, config=load(config_path, needs_data=False), err=as_json)
    if as_json:
        print_json({"fleet": offer.bundle.fleet, "root_fingerprint": offer.root_fingerprint, "member": offer.is_member})
    else:
        say(f"Next: {typed('agent', 'run')}")


@agent.command(epilog="Example: hushfleet agent run --config agent.toml")
@_STATE
@_CONFIG
def run(*, state: Path | None, config_path: Path | None) -> None:
    """Take part in rounds until stopped; what a service runs."""
    settings = load(config_path)
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(settings.training.threads)
    from edge_agent import daemon  # noqa: PLC0415 -- numpy reads the number of threads when it is imported
    from edge_agent.logs import start_logging  # noqa: PLC0415 -- with it

    start_logging(settings.log.level)
    daemon.run(folder_of(state), settings)


@agent.command(epilog="Example: hushfleet agent status --json. With --check, exit code 1: somebody has to act.")
@_STATE
@service_option
@click.option("--check", is_flag=True, help="Exit with 1 if the training data are not usable or the device has stopped.")
@json_option
@click.pass_context
def status(ctx: click.Context, *, state: Path | None, service: bool, check: bool, as_json: bool) -> None:
    """Show this device's fleet, keys, data, round and what is left of its privacy budget. Works while the agent runs."""
    from edge_agent.status import read_status  # noqa: PLC0415 -- as above

    found = read_status(folder_of(state, service=service))
    if as_json:
        print_json(found.as_json())
    else:
        say(*found.as_lines())
    if check and not found.healthy:
        ctx.exit(1)


@agent.command(epilog="Example: hushfleet agent recover")
@_STATE
@service_option
@yes_option
@json_option
def recover(*, state: Path | None, service: bool, yes: bool, as_json: bool) -> None:
    """Go on with a state folder that was moved, copied or restored, once no other copy of it runs."""
    from edge_agent.recovery import recover as go_on  # noqa: PLC0415 -- as above

    folder = folder_of(state, service=service)
    ask("Is this the only copy of this device's state folder that runs, now and later? Two copies betray what it contributes.", yes=yes)
    stopped = go_on(folder)
    say("This device's store lives here from now on.", err=as_json)
    if stopped:
        say("It contributes again. As a committee member it answers nothing until the owner deals the committee's key anew.", err=as_json)
    if as_json:
        print_json({"state": str(folder.path), "keys": [key_id.hex() for key_id in stopped]})


agent.add_command(config)
agent.add_command(model)
agent.add_command(predict)


@agent.command(epilog="Example: sudo hushfleet agent install pi-01.bundle")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--config", "config_path", type=click.Path(dir_okay=False, exists=True, path_type=Path), help="Copy this agent.toml.")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="Where enrol made the keys, if not for the service.")
@click.option("--dry-run", is_flag=True, help="Print every action and do none.")
@yes_option
def install(*, bundle: Path | None, config_path: Path | None, state: Path | None, dry_run: bool, yes: bool) -> None:
    """Install, join and start the service. Typing it again changes nothing, or brings it up to date.

    BUNDLE may be left out on a device that has joined.
    """
    from edge_agent import install as installing  # noqa: PLC0415 -- as above

    machine = installing.TargetMachine()
    wanted = installing.Wanted(bundle, config_path, state, yes=yes)
    installing.carry_out(installing.install(machine, wanted), machine, dry_run=dry_run)
    if not dry_run and (note := installing.data_note(machine)):
        say(note, err=True)


@agent.command(epilog="Example: sudo hushfleet agent uninstall --purge")
@click.option("--purge", is_flag=True, help="Also remove configuration, keys and ledger.")
@click.option("--dry-run", is_flag=True, help="Print every action and do none.")
@yes_option
def uninstall(*, purge: bool, dry_run: bool, yes: bool) -> None:
    """Stop and remove the service. Keys and ledger stay unless --purge."""
    from edge_agent import install as installing  # noqa: PLC0415 -- as above

    if purge and not dry_run:
        ask("This removes the device's keys and ledger: it has to be enrolled anew. Go on?", yes=yes)
    machine = installing.TargetMachine()
    installing.carry_out(installing.uninstall(machine, purge=purge), machine, dry_run=dry_run)


def _id(name: str) -> str:
    from hushfleet.ids import parse_id  # noqa: PLC0415 -- as above

    try:
        return parse_id(name)
    except PeerError as error:
        raise click.UsageError(f"--name: {error.message}") from error


def _host_name() -> str:
    text = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in socket.gethostname().partition(".")[0].lower())
    return text.strip("-")[:63]
