"""`hushfleet orchestrator`: what the person who runs jobs types. Commands import what they need when they run."""

import gc
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from hushfleet.program.output import STDOUT, ask_to_replace, write_output
from hushfleet.program.settings import strange_variables
from hushfleet.program.terminal import ExitCode, ask, config_option, json_option, print_json, say, state_option, yes_option
from hushfleet.typed import typed
from orchestrator.config import ENVIRONMENT, Config, load
from orchestrator.job_cli import job as job_commands

if TYPE_CHECKING:
    from orchestrator.folder import StateFolder

_STATE, _CONFIG = state_option(ENVIRONMENT, "orchestrator"), config_option(ENVIRONMENT, "orchestrator")
_JOB = click.argument("job", type=click.Path(dir_okay=False, path_type=Path))


@click.group(epilog="Example: hushfleet orchestrator enrol, then: hushfleet orchestrator join orchestrator.bundle, then: "
             "hushfleet orchestrator run job.toml")  # fmt: skip
def orchestrator() -> None:
    """Training jobs: check, run and watch them, and take the model home."""
    for text in strange_variables(Config, os.environ, ENVIRONMENT, ("STATE", "CONFIG")):
        say(f"Warning: {text}", err=True)


@orchestrator.command(epilog="Example: hushfleet orchestrator enrol --out .")
@click.option("--name", default="orchestrator", show_default=True, help="Its id in the fleet: a-z, 0-9 and '-'.")
@click.option("--out", default=".", type=click.Path(file_okay=False, exists=True, path_type=Path), help="Where NAME.request goes.")
@_STATE
@yes_option
@json_option
def enrol(*, name: str, out: Path, state: Path | None, yes: bool, as_json: bool) -> None:
    """Make the orchestrator's keys, here and nowhere else, and write NAME.request for the fleet's owner."""
    from hushfleet.documents import fingerprint  # noqa: PLC0415 -- the cryptography, when it is needed
    from hushfleet.system.durable import write_durably  # noqa: PLC0415 -- with it
    from orchestrator.enrolment import enrol as make_keys  # noqa: PLC0415 -- with it

    folder, path = _folder(state), out / f"{name}.request"
    ask_to_replace(path, yes=yes)
    data = make_keys(folder, name)
    write_durably(path, data, mode=0o644)
    say(
        f"Keys made in {folder.path}; they stay there.",
        f"Request:     {path}",
        f"Fingerprint: {fingerprint(data)}",
        f"Bring the file to the owner, who types:  {typed('provision', 'approve', path.name)}",
        f"and compares the fingerprint with this one. Then type here:  {typed('orchestrator', 'join', f'{name}.bundle')}",
        err=as_json,
    )
    if as_json:
        print_json({"name": name, "request": str(path), "fingerprint": fingerprint(data)})


@orchestrator.command(epilog="Example: hushfleet orchestrator join orchestrator.bundle")
@click.argument("bundle", type=click.Path(path_type=Path))
@_STATE
@_CONFIG
@yes_option
@json_option
def join(*, bundle: Path, state: Path | None, config_path: Path | None, yes: bool, as_json: bool) -> None:
    """Join the fleet whose owner made BUNDLE from this orchestrator's request."""
    from orchestrator import enrolment  # noqa: PLC0415 -- as above

    folder, config = _folder(state), load(config_path)
    offer = enrolment.read_bundle(folder, folder.bundle_bytes(bundle))
    say(f"Fleet {offer.bundle.fleet}, root key {offer.root_fingerprint}" + (" (pinned)" if offer.pinned else ""), err=as_json)
    if not offer.pinned:
        ask(f"Is this the root key's fingerprint that the owner sees ({typed('provision', 'show')})?", yes=yes)
    enrolment.join(folder, offer, url=config.store.url)
    roster = offer.roster.roster
    say(f"Joined as {offer.bundle.device_id}; roster {roster.serial} has {len(roster.devices)} devices.", err=as_json)
    if as_json:
        print_json({"fleet": offer.bundle.fleet, "root_fingerprint": offer.root_fingerprint, "roster": roster.serial})
    else:
        say(f"Next: {typed('orchestrator', 'check', 'job.toml')}")


@orchestrator.command(epilog="Example: hushfleet orchestrator check job.toml")
@_JOB
@click.option("--new", is_flag=True, help="As run would take it with --new: the whole job from its first model.")
@_STATE
@_CONFIG
@json_option
def check(*, job: Path, new: bool, state: Path | None, config_path: Path | None, as_json: bool) -> None:
    """Hold JOB against the fleet and its policy, and say what it will cost. Nothing is sent."""
    from orchestrator import pending_rosters  # noqa: PLC0415 -- as above
    from orchestrator.job.check import Spending, read_for_fleet  # noqa: PLC0415 -- as above
    from orchestrator.job.check import check as check_job  # noqa: PLC0415 -- as above
    from orchestrator.job.standing import GoesOn, standing  # noqa: PLC0415 -- as above
    from orchestrator.text_views import account_json, cost_lines  # noqa: PLC0415 -- as above

    folder, config = _folder(state), load(config_path)
    with _reading(folder, config) as reports:
        roster = pending_rosters.newest(folder, reports.roster())
        file, text = read_for_fleet(job, roster)
        where = standing(file, reports.jobs(), new=new)
        accounts = reports.accounts()
    pays = Spending(accounts, where.rounds, isinstance(where, GoesOn) and not where.raised)
    checked = check_job(file, text, job, roster, pays)
    say(*cost_lines(checked), err=as_json)
    if as_json:
        cost = checked.cost
        print_json(
            {
                "job": file.job.name,
                "model": checked.model.architecture.name,
                "values": cost.values,
                "rounds": file.job.rounds,
                "rho_nano": cost.rho_nano,
                "delta": cost.delta,
                "epsilon": [{"rounds": rounds, "epsilon": round(value, 4)} for rounds, value in cost.epsilons] if cost.rho_nano else None,
                "bytes": {"contribution": cost.contribution_bytes, "model": cost.model_bytes, "request": cost.request_bytes},
                "rounds_to_pay": where.rounds,
                "noise": asdict(checked.noise),
                "devices": [account_json(one, cost.rho_nano, cost.delta) for one in accounts],
                "notes": list(checked.notes),
            }
        )


@orchestrator.command(epilog="Example: hushfleet orchestrator run job.toml. Ctrl-C stops it; the same command goes on.")
@_JOB
@click.option("--new", is_flag=True, help="Leave an unfinished job, or begin a finished one again from its first model.")
@click.option("--give-up-after", default=20, show_default=True, type=click.IntRange(min=1), help="Aborted rounds in a row.")
@yes_option
@_STATE
@_CONFIG
@json_option
@click.pass_context
def run(
    context: click.Context,
    *,
    job: Path,
    new: bool,
    give_up_after: int,
    yes: bool,
    state: Path | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Run JOB round by round until its model is released as often as it asks, or go on with it.

    Before a job spends what it has not spent before, it says how much of the devices' budgets that is, and asks. A job that is done
    costs nothing when it is typed again.
    """
    from orchestrator.console import PlainConsole  # noqa: PLC0415 -- as above
    from orchestrator.run import Options  # noqa: PLC0415 -- as above
    from orchestrator.run import run as run_job  # noqa: PLC0415 -- as above

    console = PlainConsole(stderr=as_json)
    summary = run_job(_folder(state), load(config_path), job, console, Options(new=new, give_up=give_up_after, ask=partial(ask, yes=yes)))
    if as_json:
        last = summary.last
        print_json(
            {
                "job": summary.job.name,
                "finished": summary.finished,
                "rounds": summary.rounds,
                "rounds_released": summary.job.released,
                "rounds_aborted": summary.job.aborted,
                "version": summary.job.version,
                "epsilon": None if summary.epsilon is None else round(summary.epsilon, 4),
                "delta": summary.delta,
                "accuracy": last.accuracy if last else None,
                "loss": last.loss if last else None,
                "archive": summary.job.archive,
                "absence": summary.job.absence,
            }
        )
    if summary.interrupted:
        context.exit(ExitCode.TRY_LATER)


@orchestrator.command(epilog="Example: hushfleet orchestrator status --watch, or for programs: --json")
@click.option("--watch", "watched", is_flag=True, help="Devices, budgets, certificates and the round as they change, until Ctrl-C.")
@_STATE
@_CONFIG
@json_option
def status(*, watched: bool, state: Path | None, config_path: Path | None, as_json: bool) -> None:
    """Show how far the current job has come. Works while it runs."""
    views = _views()
    folder, config = _folder(state), load(config_path)
    fleet = folder.joined()
    with _reading(folder, config) as reports:
        if watched and not as_json:
            from orchestrator.console import PlainConsole  # noqa: PLC0415 -- rich, for this view alone
            from orchestrator.watch import watch  # noqa: PLC0415 -- likewise

            watch(PlainConsole(), fleet, reports)
            return
        job, roster = reports.job(), reports.roster().roster
    if not as_json:
        say(*views.status_lines(fleet, roster, job))
        return
    body: dict[str, Any] = {"fleet": fleet.fleet, "roster": roster.serial, "devices": len(roster.devices), "job": None}
    if job is not None:
        body["job"] = {name: value for name, value in asdict(job).items() if name != "settings"}
    print_json(body)


@orchestrator.command(epilog="Example: hushfleet orchestrator devices")
@_STATE
@_CONFIG
@json_option
def devices(*, state: Path | None, config_path: Path | None, as_json: bool) -> None:
    """Every enrolled device: whether it is there, and when it last contributed."""
    views = _views()
    with _reading(_folder(state), load(config_path)) as reports:
        found = reports.devices()
    if as_json:
        print_json({"devices": [asdict(one) for one in found]})
    else:
        say(*views.device_lines(found))


@orchestrator.command(epilog="Example: hushfleet orchestrator rounds")
@_STATE
@_CONFIG
@json_option
def rounds(*, state: Path | None, config_path: Path | None, as_json: bool) -> None:
    """The current job's rounds, a line each."""
    views = _views()
    with _reading(_folder(state), load(config_path)) as reports:
        found = reports.rounds()
    if as_json:
        print_json({"rounds": [asdict(one) for one in found]})
    else:
        say(*views.round_lines(found))


@orchestrator.command("round", epilog="Example: hushfleet orchestrator round 3")
@click.argument("number", type=click.IntRange(min=1))
@_STATE
@_CONFIG
@json_option
def one_round(*, number: int, state: Path | None, config_path: Path | None, as_json: bool) -> None:
    """Everything about round NUMBER of the current job."""
    with _reading(_folder(state), load(config_path)) as reports:
        found = asdict(reports.round(number))
    if as_json:
        print_json(found)
    else:
        width = max(map(len, found))
        say(*(f"{name:{width}}  {_plain(value)}" for name, value in found.items()))


orchestrator.add_command(job_commands)


@orchestrator.group(epilog="Example: hushfleet orchestrator model export model.npz")
def model() -> None:
    """The model of the current job."""


@model.command(epilog="Example: hushfleet orchestrator model export --best model.npz, or of an earlier job: --job digits digits.npz")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--job", "name", help="The latest job of this name, instead of the current one.")
@click.option("--best", is_flag=True, help="The version that did best on the holdout, instead of the latest.")
@click.option("--onnx", is_flag=True, help="As an ordinary ONNX file, with the inputs and outputs that the model had before.")
@_STATE
@_CONFIG
@yes_option
@json_option
def export(
    *, file: Path, name: str | None, best: bool, onnx: bool, state: Path | None, config_path: Path | None, yes: bool, as_json: bool
) -> None:
    """Write the model to FILE, or with '-' to standard output: one named array per parameter, and `metadata` (JSON)."""
    from orchestrator.export import export_model  # noqa: PLC0415 -- as above

    folder = _folder(state)
    with _reading(folder, load(config_path)) as reports:
        metadata, content = export_model(reports, name=name, best=best, onnx=onnx)
    ask_to_replace(file, yes=yes, new=content)
    write_output(file, content)
    told = [f"{file}: version {metadata['version']} of {metadata['model']}"]
    if metadata["epsilon"] is not None:
        life = f"over its life {metadata['epsilon_life_device']} has spent {metadata['epsilon_life']:.2f}, in all jobs together"
        told.append(f"epsilon of this job {metadata['epsilon']:.2f} at delta {metadata['delta']:g}; {life}")
    say(*told, err=as_json or file == STDOUT)
    if as_json:
        print_json({"file": str(file), **metadata})


@orchestrator.command("publish-roster", epilog="Example: hushfleet orchestrator publish-roster roster-7.signed")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_STATE
@_CONFIG
@json_option
def publish_roster(*, file: Path, state: Path | None, config_path: Path | None, as_json: bool) -> None:
    """Hand a roster that the owner signed to the orchestrator that runs, or will. It ends a round under way."""
    from hushfleet.documents import newer_roster, open_roster  # noqa: PLC0415 -- as above
    from hushfleet.documents.limits import MAX_SIGNED_BYTES  # noqa: PLC0415 -- as above
    from hushfleet.system.files import read_named  # noqa: PLC0415 -- as above
    from hushfleet.wire import decode_signed  # noqa: PLC0415 -- as above
    from orchestrator import pending_rosters  # noqa: PLC0415 -- as above

    folder = _folder(state)
    root = folder.joined().root
    with _reading(folder, load(config_path)) as reports:
        current = pending_rosters.newest(folder, reports.roster())
    new = newer_roster(current, open_roster(decode_signed(read_named(file, MAX_SIGNED_BYTES)), root))
    lines = [] if new.digest == current.digest else list(pending_rosters.differences(current, new))
    if lines:
        pending_rosters.hand_over(folder, new)
    say(*(lines or (f"roster {current.roster.serial} is here already",)), err=as_json)
    if as_json:
        print_json({"roster": new.roster.serial, "changes": lines})


@orchestrator.command(epilog="Example: hushfleet orchestrator recover")
@_STATE
@_CONFIG
@yes_option
@json_option
def recover(*, state: Path | None, config_path: Path | None, yes: bool, as_json: bool) -> None:
    """Go on with a state folder that was moved, copied or restored, once no other copy of it runs."""
    from orchestrator.recovering import recover as go_on  # noqa: PLC0415 -- as above

    folder, config = _folder(state), load(config_path)
    ask("Is this the only copy of this orchestrator's state folder that runs, now and later? Two copies stop the whole fleet.", yes=yes)
    found = go_on(folder, config)
    say(f"{len(found.rounds)} rounds taken from the archive; the next round is above {found.highest}.", err=as_json)
    if as_json:
        print_json({"rounds": list(found.rounds), "highest": found.highest})


@orchestrator.command(epilog="Example: hushfleet orchestrator abort --reason 'pi-07 will not come back'")
@click.option("--reason", default="given up", show_default=True, help="Stands in the round's record, for everybody to read.")
@_STATE
@_CONFIG
@yes_option
@json_option
def abort(*, reason: str, state: Path | None, config_path: Path | None, yes: bool, as_json: bool) -> None:
    """Give up the round under way. What its devices paid for it is lost; the next round begins anew."""
    from orchestrator import give_up  # noqa: PLC0415 -- as above

    folder = _folder(state)
    with _reading(folder, load(config_path)) as reports:
        job = reports.current()
    if job.open_round is None:
        say("no round is open", err=as_json)
    else:
        ask(f"Round {job.open_round} has {job.contributions} contributions, paid for by as many devices. Give it up?", yes=yes)
        give_up.hand_over(folder, reason)
        say(f"round {job.open_round} is given up as soon as the orchestrator runs", err=as_json)
    if as_json:
        print_json({"round": job.open_round, "contributions": job.contributions})


def _folder(state: Path | None) -> "StateFolder":
    from orchestrator.folder import StateFolder, default_state  # noqa: PLC0415 -- as above

    return StateFolder(state or default_state())


def _views() -> ModuleType:
    """The texts of `orchestrator.text_views`, loaded with SQLAlchemy while the collector rests: all that is loaded stays."""
    gc.disable()
    try:
        from orchestrator import text_views  # noqa: PLC0415 -- as above
    finally:
        gc.enable()
    return text_views


def _reading(folder: "StateFolder", config: Config) -> Any:  # noqa: ANN401 -- a context with `orchestrator.store.reports.Reports`, not yet imported
    from orchestrator.store.reports import reading  # noqa: PLC0415 -- as above

    return reading(folder.path, folder.joined().root, config.store.url)


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None or value == "" else str(value)
