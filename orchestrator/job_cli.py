"""`hushfleet orchestrator job`: job files."""

from pathlib import Path

import click

from hushfleet.program.terminal import config_option, json_option, print_json, say, state_option
from hushfleet.typed import typed
from orchestrator.config import ENVIRONMENT, load

_STATE, _CONFIG = state_option(ENVIRONMENT, "orchestrator"), config_option(ENVIRONMENT, "orchestrator")


@click.group(epilog="Example: hushfleet orchestrator job new --model softmax:64x10")
def job() -> None:
    """Job files."""


@job.command(epilog="Example: hushfleet orchestrator job new --model softmax:64x10, then look at job.toml, then: "
             "hushfleet orchestrator check job.toml")  # fmt: skip
@click.option("--model", required=True, help="Of those that the policy allows: softmax:64x10, softmax@wine.contract, net.trainable")
@click.option("--out", default="job.toml", show_default=True, type=click.Path(dir_okay=False, path_type=Path), help="Where it goes.")
@click.option("--name", default=None, help="Its name: a-z, 0-9 and '-'. Default: that of the file.")
@click.option("--rounds", default=8, show_default=True, type=click.IntRange(min=1), help="Released rounds.")
@_STATE
@_CONFIG
@json_option
def new(*, model: str, out: Path, name: str | None, rounds: int, state: Path | None, config_path: Path | None, as_json: bool) -> None:
    """Write a commented job file whose cohort, noise and clip norm fit the roster, the owner's policy and the budgets that are left."""
    from hushfleet.system.durable import sync_folder, write_new  # noqa: PLC0415 -- when it is needed
    from orchestrator import pending_rosters  # noqa: PLC0415 -- likewise
    from orchestrator.folder import StateFolder, default_state  # noqa: PLC0415 -- likewise
    from orchestrator.job.new import new_job  # noqa: PLC0415 -- with it come the models
    from orchestrator.store.reports import reading  # noqa: PLC0415 -- likewise
    from orchestrator.text_views import cost_lines  # noqa: PLC0415 -- likewise

    folder = StateFolder(state or default_state())
    with reading(folder.path, folder.joined().root, load(config_path).store.url) as reports:
        roster, accounts = pending_rosters.newest(folder, reports.roster()), reports.accounts()
    command = typed("orchestrator", "check", out)
    made = new_job(model, out, roster, accounts, rounds=rounds, name=name or out.stem, command=command)
    try:
        write_new(out, made.text.encode(), mode=0o644)
    except FileExistsError as error:
        raise click.ClickException(f"{out} is there already and is left as it is: name another with --out") from error
    sync_folder(out.absolute().parent)
    say(f"{out}:", *cost_lines(made.checked), f"Look at it, then: {typed('orchestrator', 'run', out)}", err=as_json)
    if as_json:
        cost = made.checked.cost
        written = {"file": str(out), "job": made.checked.file.job.name, "rounds": rounds}
        print_json({**written, "rho_nano": cost.rho_nano, "values": cost.values})
