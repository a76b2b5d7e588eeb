"""`hushfleet demo`."""

from pathlib import Path

import click

from hushfleet.program.terminal import json_option, print_json
from simulation.short_names import SHORT_NAMES


@click.command(epilog="Example: hushfleet demo --devices 20 --rounds 4 --noise-multiplier 2 --keep ./demo")
@click.option("--devices", default=50, show_default=True, help="How many devices; at least 5. The first four are the committee.")
@click.option("--rounds", default=8, show_default=True, help="How many rounds; at least 2.")
@click.option(
    "--noise-multiplier",
    default=4.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Noise of the sum, in multiples of what one device can change.",
)
@click.option(
    "--model",
    default="softmax",
    show_default=True,
    type=click.Choice(sorted(SHORT_NAMES)),
    help="softmax, mlp, mlp-large: 100,234 values by scheme shared, or lenet: a convolutional net from an ONNX file.",
)
@click.option(
    "--transport",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "mosquitto", "memory"]),
    help="auto: a real Mosquitto where it is installed.",
)
@json_option
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep everything in this empty folder.")
def demo(*, devices: int, rounds: int, noise_multiplier: float, model: str, transport: str, keep: Path | None, as_json: bool) -> None:
    """Train one model with a whole fleet on this machine, privately, then attack it.

    Real data (handwritten digits), real keys, real proofs; no broker needed. Takes about half a minute.
    """
    from orchestrator.console import PlainConsole  # noqa: PLC0415 -- the help needs no fleet
    from simulation import demo as demo_module  # noqa: PLC0415 -- as above
    from simulation.outcome import Settings  # noqa: PLC0415 -- as above
    from simulation.screen import DemoScreen  # noqa: PLC0415 -- as above

    settings = Settings(devices, rounds, noise_multiplier, model, keep, transport)
    result = demo_module.run(settings, DemoScreen(PlainConsole(stderr=as_json)))
    if as_json:
        print_json(result.as_json())
