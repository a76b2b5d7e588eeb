"""`python -m simulation.picture docs/demo.svg`: the demo as a terminal picture, for the README."""

import sys
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from hushfleet.typed import typed
from orchestrator.console import PlainConsole
from simulation import demo
from simulation.outcome import Settings
from simulation.screen import DemoScreen

WIDTH = 96


def draw(target: Path) -> None:
    """Play the demo and write what a terminal shows of it, without the moving bars."""
    console = PlainConsole(record=True, width=WIDTH, force_terminal=True)
    target = target.absolute()
    with TemporaryDirectory() as folder, chdir(folder):
        demo.run(Settings(keep=Path("my-demo")), DemoScreen(console, moving=False))
    console.save_svg(str(target), title=typed("demo"))


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
