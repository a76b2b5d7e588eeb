"""`python -m simulation.picture docs/demo.svg`: the demo as a terminal picture, for the README."""

import sys
from pathlib import Path

from rich.console import Console

from simulation import demo
from simulation.screen import Screen

WIDTH = 96


def draw(target: Path, settings: demo.Settings) -> None:
    """Play the demo and write what a terminal shows of it."""
    console = Console(record=True, width=WIDTH, force_terminal=True)
    demo.run(settings, Screen(console))
    console.save_svg(str(target), title="hushfleet demo")


if __name__ == "__main__":
    draw(Path(sys.argv[1]), demo.Settings())
