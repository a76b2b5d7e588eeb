"""`hushfleet simulate`."""

import re
from collections import Counter
from typing import TYPE_CHECKING

import click

from hushfleet.program.terminal import ExitCode, json_option, print_json, say
from hushfleet.typed import typed

if TYPE_CHECKING:
    from simulation.faults.run import SeedOutcome

_PROGRESS = 100
_SEEDS = re.compile(r"(\d{1,9}):(\d{1,9})")


@click.command(epilog="Example: hushfleet simulate --seeds 0:50, then for one that failed: hushfleet simulate --seed 17")
@click.option("--seed", type=click.IntRange(min=0), help="One run, with everything that happens in it.")
@click.option("--seeds", metavar="A:B", help="Runs A to B, without B: a line for each that fails, and a summary.")
@click.option(
    "--scheme",
    default="shared",
    show_default=True,
    type=click.Choice(["paillier", "shared"]),
    help="paillier: by a 512-bit key, which protects nobody and is dealt in a moment.",
)
@json_option
@click.pass_context
def simulate(ctx: click.Context, *, seed: int | None, seeds: str | None, scheme: str, as_json: bool) -> None:
    """Run a whole fleet through a storm of faults that one number decides.

    Five devices and two rounds in one process, with the real programs and stores: messages are lost, repeated, late and out of order,
    and the power goes between any two steps of any party. Then all is calm, and the job must end. The same number gives the same run.
    """
    from simulation.faults.run import Simulator  # noqa: PLC0415 -- the help needs no fleet

    outcomes = []
    with Simulator.of(scheme) as simulator:
        for number in _numbers(seed, seeds):
            outcomes.append(outcome := simulator.run(number))
            _tell(outcome, scheme, whole=seed is not None, err=as_json)
            if not len(outcomes) % _PROGRESS:
                say(f"{len(outcomes)} seeds, {sum(len(one.violations) > 0 for one in outcomes)} failed", err=True)
    faults = sum((Counter(one.faults) for one in outcomes), Counter[str]())
    violations = [{"seed": one.seed, "invariant": broken} for one in outcomes for broken in one.violations]
    events, released = sum(one.events for one in outcomes), sum(one.rounds_released for one in outcomes)
    if as_json:
        print_json(
            {
                "seeds": len(outcomes),
                "events": events,
                "faults": dict(sorted(faults.items())),
                "rounds_released": released,
                "violations": violations,
            }
        )
    else:
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items()))
        say(f"{len(outcomes)} seeds, {events} events, faults: {told}; {released} rounds released, {len(violations)} violations")
    if violations:
        ctx.exit(ExitCode.FAILED)


def _tell(outcome: "SeedOutcome", scheme: str, *, whole: bool, err: bool) -> None:
    """Print the whole trace or nothing, then each violation with the way to see it again."""
    if whole:
        say(*outcome.trace, err=err)
    for broken in outcome.violations:
        again = typed("simulate", "--scheme", scheme, "--seed", str(outcome.seed))
        say(f"seed {outcome.seed}: {broken}", f"To see it again: {again}", err=err)


def _numbers(seed: int | None, seeds: str | None) -> range:
    """The seeds to run. Raises `UsageError` unless exactly one of the two options is there."""
    if (seed is None) == (seeds is None):
        raise click.UsageError("Give one of --seed N and --seeds A:B.")
    if seed is not None:
        return range(seed, seed + 1)
    match = _SEEDS.fullmatch(seeds or "")
    if match is None or int(match[1]) >= int(match[2]):
        raise click.UsageError("--seeds takes A:B with A below B, such as 0:100.")
    return range(int(match[1]), int(match[2]))
