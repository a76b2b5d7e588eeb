"""The screen of the demo. Everything goes to one rich console; off a terminal it becomes plain lines."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from hushfleet.training import Architecture
from hushfleet.typed import typed
from simulation.attacks import Attack
from simulation.outcome import Result, RoundFigures, Settings

_COLUMNS = ("round", "devices", "answers", "accuracy", "epsilon", "bytes up/value", "seconds")
_BAR_WIDTH = 24
ENOUGH_DEVICES = 40
MOST_VISIBLE_VALUES = 20_000
_SUMMANDS = {"paillier": "ciphertexts", "shared": "masked vectors"}
"""Below that the noise that protects one device at a multiplier of 4 drowns the mean."""


class RoundProgress:
    """The moving part while a round runs."""

    def __init__(self, progress: Progress, contributions: TaskID, answers: TaskID) -> None:
        self._progress, self._contributions, self._answers = progress, contributions, answers

    def contributions(self, accepted: int) -> None:
        """Show how many sealed contributions were verified."""
        self._progress.update(self._contributions, completed=accepted)

    def answers(self, checked: int) -> None:
        """Show how many committee answers were verified."""
        self._progress.update(self._answers, completed=checked)


class DemoScreen:
    """Draws on `console`. `moving` shows bars while something runs: not for a picture, which would keep every frame."""

    def __init__(self, console: Console, *, moving: bool = True) -> None:
        self.console = console
        self._moving = moving and console.is_terminal

    def opening(self, settings: Settings, architecture: Architecture, rows: int) -> None:
        """First line: the transport. Then what is about to happen."""
        link = "memory (one process, every party its own keys)"
        if settings.broker:
            link = "mosquitto (TLS, certificates, ACL; six processes)"
        devices, rounds, noise_multiplier = settings.devices, settings.rounds, settings.noise_multiplier
        self.console.print(f"[bold]{typed('demo')}[/]  transport: {link}")
        text = (
            f"{devices} devices hold {rows} handwritten digits (as {settings.recipe.seen_as}) and show them to nobody.\n"
            f"They train {architecture.name} ({architecture.dimension} values): {rounds} rounds, noise multiplier {noise_multiplier:g}.\n"
            f"The orchestrator adds up {_SUMMANDS[settings.recipe.scheme]}. Only 3 of 4 committee members\n"
            "together can open a sum, and never a single update."
        )
        self.console.print(Panel(text, border_style="cyan", expand=False))
        if devices < ENOUGH_DEVICES:
            self.console.print(f"[yellow]note[/]  {devices} devices share much noise: expect little accuracy, or lower --noise-multiplier")
        elif architecture.dimension > MOST_VISIBLE_VALUES:
            text = f"noise on {architecture.dimension} values drowns what {devices} devices learn: this shows the sum, not the model"
            self.console.print(f"[yellow]note[/]  {text}")

    @contextmanager
    def making_keys(self, devices: int, bits: int, members: int) -> Iterator[Callable[[int], None]]:
        """While keys are made; the callback is told of every further candidate for a prime that was tried."""
        tried: dict[int, int] = {}

        def progress(candidates: int) -> None:
            tried[threading.get_ident()] = candidates
            bar.update(task, description=f"dealing a {bits}-bit key to {members} members, {sum(tried.values()):,} candidates tried")

        if not self._moving:
            self.console.print(f"[green]keys[/]  dealing a {bits}-bit key, which takes some seconds")
        with self._progress() as bar:
            task = bar.add_task(f"dealing a {bits}-bit key to {members} members", total=None)
            yield progress
        self.console.print(f"[green]keys[/]  {devices} devices made theirs; {members} members were dealt a {bits}-bit key\n")
        self.console.print(_row(_COLUMNS), style="bold")

    @contextmanager
    def round(self, number: int, devices: int, threshold: int) -> Iterator[RoundProgress]:
        """Show round `number` while it runs."""
        with self._progress() as bar:
            contributions = bar.add_task(f"round {number}: contributions verified", total=devices)
            answers = bar.add_task(f"round {number}: committee answers verified", total=threshold)
            yield RoundProgress(bar, contributions, answers)

    def round_done(self, figures: RoundFigures) -> None:
        """Print the round as one line of the table."""
        cells = (
            f"{figures.number}",
            f"{figures.devices}",
            f"{figures.answers}",
            f"{figures.accuracy:.1%}",
            f"{figures.epsilon:.2f}",
            f"{figures.bytes_up_per_value:.2f}",
            f"{figures.seconds:.1f}",
        )
        self.console.print(_row(cells))

    def attacks(self, attacks: Sequence[Attack]) -> None:
        """The table of attacks in the last round: what was tried, who refused it, and why."""
        self.console.print()
        self.console.print("[bold]During the last round the parties attacked each other:[/]")
        for attack in attacks:
            self.console.print(Text.assemble((" x ", "bold red"), attack.name))
            words = f" by {attack.refused_by}: {attack.detail} "
            line = Text.assemble(("refused", "bold green"), words, (f"[{attack.reason.value}]", "dim"))
            self.console.print(Padding(line, (0, 0, 0, 3)))

    def closing(self, result: Result) -> None:
        """The last lines: the files that hold the results, and what an outsider's check says."""
        last = result.rounds[-1]
        self.console.print()
        plain = f"{result.accuracy_without_privacy:.1%} without privacy"
        self.console.print(f"[bold]accuracy {last.accuracy:.1%}[/] on held-out digits ({plain})")
        self.console.print(f"[bold]epsilon {last.epsilon:.2f}[/] at delta 1e-6 for each device, {result.seconds:.0f} s in all")
        self.console.print(f"model    {result.model_file}", soft_wrap=True)
        self.console.print(f"archive  {result.archive}", soft_wrap=True)
        self.console.print(f"[green]{result.audit.summary()}[/]")
        self.console.print(f"Check it yourself: {typed('verify', result.archive)}", soft_wrap=True)

    def _progress(self) -> Progress:
        bar = (BarColumn(_BAR_WIDTH), TextColumn("{task.completed}"), TimeElapsedColumn())
        columns = (SpinnerColumn(), TextColumn("{task.description}"), *bar)
        return Progress(*columns, console=self.console, transient=True, disable=not self._moving)


def _row(cells: Sequence[str]) -> str:
    return "  ".join(cell.rjust(len(name)) for name, cell in zip(_COLUMNS, cells, strict=True))
