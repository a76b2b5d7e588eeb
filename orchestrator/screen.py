"""The running job on a person's screen: a moving line on a terminal, plain lines off it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from hushfleet.documents import Outcome, RoundRecord, Task, TrainTask, task_name
from hushfleet.privacy import epsilon
from hushfleet.rounds.coordinator import Collecting, CoordinatorState, Decrypting
from hushfleet.rounds.effects import Alert, Note, Refused
from hushfleet.rounds.tasks.base import Progress
from hushfleet.system.plain_text import plain
from hushfleet.typed import typed
from orchestrator.absence import Absence
from orchestrator.attendance import Attendance
from orchestrator.job.check import CheckedJob
from orchestrator.job.holdout import Score

if TYPE_CHECKING:
    from rich.status import Status


def _task_text(task: Task) -> str:
    return f"model version {task.model_version}" if isinstance(task, TrainTask) else task_name(task)


class Screen:
    """A job on `console`. Hands every line of state to `status` (systemd's). Satisfies `orchestrator.loop.JobListener`."""

    def __init__(
        self,
        console: Console,
        job: CheckedJob,
        *,
        spent_nano: int = 0,
        score: Callable[[Progress], Score | None] = lambda _: None,
        status: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`spent_nano`: what a device that took part in every round of this job has spent so far, in 10^-9 rho."""
        self._console, self._job, self._score, self._tell = console, job, score, status
        self._spent_nano = spent_nano
        self._moving: Status | None = None

    def opening(self, released: int, folder: str) -> None:
        """Print the job and its model."""
        file, cost = self._job.file, self._job.cost
        begun = f", {released} released before" if released else ""
        model = f"{self._job.model.architecture.name}, {cost.values} values"
        self._line(f"[bold]job {escape(file.job.name)}[/]  {model}; {file.job.rounds} rounds{begun}")
        self._line(f"state in {escape(folder)}")
        for note in self._job.notes:
            self.note(note)

    def connected(self, connections: int) -> None:
        """Print that there is a connection."""
        self._line("connected to the broker" if connections == 1 else f"connected again (connection {connections})")

    def waits(self, attendance: Attendance, absence: Absence) -> None:
        """Print how many are present while a round waits for more, and why the others are not."""
        self._tell(f"waiting: {attendance}")
        self._line(f"waiting for more: {attendance}")
        self._line(f"  {escape(absence.reasons)}")

    def short(self, number: int, absence: Absence) -> None:
        """Print why a round has too few contributions."""
        self._tell(f"round {number}: {absence}")
        self._line(f"round {number}: {escape(str(absence))}")

    def began(self, state: Collecting | Decrypting) -> None:
        """Print the round that begins, or is gone on with."""
        plan = state.terms.plan
        cohort = f"at least {plan.privacy.min_devices} of at most {plan.privacy.max_devices} devices"
        privacy = "no DP" if plan.privacy.variance == 0 else cohort
        self._line(f"round {plan.round}: {_task_text(plan.task)}, {privacy}, {plan.deadline_s} s")
        self.moved(state)

    def moved(self, state: Collecting | Decrypting) -> None:
        """Show how much has arrived for the round."""
        number = state.terms.plan.round
        if isinstance(state, Collecting):
            text = f"round {number}: {len(state.accepted)} contributions, " + (f"{state.missing} missing" if state.missing else "enough")
        else:
            answers = f"{len(state.answers)} of {state.memory.roster.threshold} committee answers"
            text = f"round {number}: {len(state.accepted)} contributions, {answers}"
        self._tell(text)
        self._move(text)

    def ended(self, record: RoundRecord, state: CoordinatorState, wait_s: float) -> None:
        """Print the round's outcome."""
        self._still()
        self._spent_nano += record.rho_nano
        if record.outcome is Outcome.RELEASED:
            text = (
                f"round {record.round}: [green]released[/] version {state.memory.progress.version} from {len(record.device_ids)} devices"
                f"{self._scored(state.memory.progress)}, {self._epsilon()}, "
                f"{record.bytes_up / 1000:.0f} kB up, {record.duration_ms / 1000:.1f} s"
            )
        else:
            text = f"round {record.round}: [yellow]aborted[/] ({escape(record.reason)}); the next one in {wait_s:.0f} s"
        self._line(text)

    def report(self, happening: Note | Alert | Refused) -> None:
        """Print a note, refusal or alert of the machine."""
        match happening:
            case Note(text):
                self.note(text)
            case Alert(text):
                self._line(f"[bold red]ALERT[/] {escape(text)}")
            case Refused(error):
                self._line(f"[yellow]refused[/] {escape(str(error))}")

    def note(self, text: str) -> None:
        """Print a remark that asks for no action."""
        self._line(f"[dim]note[/] {escape(text)}")

    def stopped(self, command: str, released: int) -> None:
        """Print that the job was stopped before its end, and the command that goes on."""
        self._still()
        self._line(f"stopped after {released} of {self._job.file.job.rounds} rounds; nothing is lost. To go on: {escape(command)}")

    def finished(self, released: int) -> None:
        """Print that the job is done."""
        self._still()
        export = escape(typed("orchestrator", "model", "export", "model.npz"))
        self._line(f"[green]done[/]: {released} rounds released. To have the model: {export}")

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._still()

    def _scored(self, progress: Progress) -> str:
        score = self._score(progress)
        if score is None:
            return ""
        return f", loss {score.loss:.4g}" if score.accuracy is None else f", accuracy {score.accuracy:.1%}"

    def _epsilon(self) -> str:
        if self._job.file.privacy.without_privacy:
            return "no DP"
        return f"epsilon {epsilon(self._spent_nano, self._job.file.privacy.delta):.2f}"

    def _line(self, text: str) -> None:
        self._console.print(plain(text), soft_wrap=True, highlight=False)

    def _move(self, text: str) -> None:
        if not self._console.is_terminal:
            return
        if self._moving is None:
            self._moving = self._console.status(escape(text))
            self._moving.start()
        self._moving.update(escape(text))

    def _still(self) -> None:
        if self._moving is not None:
            self._moving.stop()
            self._moving = None
