"""The umbrella command: `hushfleet COMMAND`.

The programs bring their commands as entry points of the group `hushfleet.commands` (name -> `module:command`, a `click.Command`).
A command's module is imported when the command is typed, not when the list is printed.
`run` is the one place where errors become messages and exit codes, so a command raises and never prints its own refusal.
It returns None, or leaves through `ctx.exit(code)` with a code of `ExitCode`.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

import click

from hushfleet import __version__
from hushfleet.errors import BudgetError, HushfleetError, PeerError, Refusal
from hushfleet.program.terminal import ExitCode, keep_terminal_plain, print_json, say, say_traceback
from hushfleet.system.memory import hide_memory

ENTRY_POINT_GROUP = "hushfleet.commands"
DISTRIBUTION = "hushfleet"

#: What the help says of our own commands, and the extra that brings what they need. A plug-in needs no line here.
SUMMARIES = {
    "agent": ("This device: its keys, its fleet, its service.", "agent"),
    "demo": ("A whole fleet on this machine: trains on real data, then attacks itself.", "demo"),
    "down": ("Ends the fleet that `up` started; everything is kept.", "demo"),
    "model": ("ONNX files made trainable with plain onnxruntime, and checked.", "models"),
    "orchestrator": ("Training jobs: check, run and watch them, and take the model home.", "orchestrator"),
    "provision": ("The owner's vault: who is in the fleet, and what no orchestrator may do.", "provisioning"),
    "simulate": ("A whole fleet through a storm of faults that one number decides.", "demo"),
    "up": ("A real, lasting fleet on this machine, to go on with.", "demo"),
    "verify": ("Check a finished job's archive as an outsider.", ""),
}


_CONFIGURATION = {
    Refusal.CONFIG_INVALID,
    Refusal.DATA_SOURCE,
    Refusal.FILE_KIND,
    Refusal.FILE_TOO_LARGE,
    Refusal.FOLDER_UNSAFE,
    Refusal.SYSTEM_UNSUPPORTED,
    Refusal.SETTINGS_INVALID,
    Refusal.POLICY_INVALID,
    Refusal.COMMITTEE_SIZE,
    Refusal.KEY_TOO_SMALL,
    Refusal.PLAN_UNREACHABLE,
    Refusal.JOB_CHANGED,
    Refusal.JOB_UNFINISHED,
}
_STORAGE = {
    Refusal.DISK_READ_ONLY,
    Refusal.STORE_DAMAGED,
    Refusal.STORE_MOVED,
    Refusal.STORE_ROLLED_BACK,
    Refusal.LEDGER_MISSING,
    Refusal.DECRYPTION_LOG_MISSING,
}
"""The troubles of a store that no restart mends."""
_PERMISSION = {
    Refusal.LEDGER_MISSING,
    Refusal.DECRYPTION_LOG_MISSING,
    Refusal.PLAN_WITHOUT_PRIVACY,
    Refusal.VAULT_PASSPHRASE,
    Refusal.COMMITTEE_MEMBER,
}
_ABSENT = {Refusal.MODEL_NONE, Refusal.VAULT_MISSING, Refusal.NOT_ENROLLED, Refusal.JOB_UNKNOWN, Refusal.ROUND_UNKNOWN}
_LATER = {Refusal.DISK_FULL, Refusal.COMBINE_TOO_FEW, Refusal.STATE_IN_USE, Refusal.JOB_STALLED, Refusal.LINK_AWAY}


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed command as a person and a program are told of it. `next_step` may be empty."""

    code: ExitCode
    kind: str
    message: str
    next_step: str = ""
    mistakes: tuple[tuple[int | None, str], ...] = ()

    def as_json(self) -> dict[str, dict[str, object]]:
        """`{"error": {"kind", "message", "next"}}`, and `mistakes`, each with `line` and `text`, where a file of settings is wrong."""
        listed = [{"line": line, "text": text} for line, text in self.mistakes]
        more = {"mistakes": listed} if listed else {}
        return {"error": {"kind": self.kind, "message": self.message, "next": self.next_step, **more}}

    def as_lines(self) -> tuple[str, ...]:
        """The lines for a person: what happened, why, and what to type next. A message's further lines are indented: none poses as ours."""
        first, *more = f"{self.message} [{self.kind}]".splitlines()
        return (f"Error: {first}", *(f"  {line}" for line in more), *((f"Next: {self.next_step}",) if self.next_step else ()))


class Commands(click.Group):
    """The group whose members are entry points, loaded one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Our own commands and the plug-ins', by name."""
        return sorted({*_installed(), *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command that was typed, or None if nobody brings it."""
        entry_point = _installed().get(cmd_name)
        return super().get_command(ctx, cmd_name) if entry_point is None else _load(entry_point)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was typed. Many import their libraries late: what is missing then is told as in `get_command`."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            entry_point = _installed().get(ctx.invoked_subcommand or "")
            if entry_point is None:
                raise
            raise _missing(entry_point, error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without importing any command."""
        installed = _installed()
        rows = [(name, _summary(installed[name])) for name in self.list_commands(ctx) if name in installed]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: hushfleet demo --devices 20 --rounds 4. Exit codes: 0 done, 1 failed, 2 usage or configuration, "
    "3 not found, 4 refused, 75 try again later.",
)
@click.version_option(__version__, prog_name="hushfleet")
def hushfleet() -> None:
    """Private federated learning for fleets of small devices."""


def main() -> NoReturn:
    """Entry point of the `hushfleet` script."""
    hide_memory()
    keep_terminal_plain()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str], command: click.Command = hushfleet) -> int:
    """Run `command` on `arguments` and return the exit code.

    An error is told on stderr; with `--json` among the arguments also as one object on the last line of stdout.
    """
    try:
        result = command.main(args=list(arguments), prog_name=command.name, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except Exception as error:  # noqa: BLE001 -- the one boundary where every error becomes a message and an exit code
        failure = failure_of(error)
        say(*failure.as_lines(), err=True)
        if "--json" in arguments:
            print_json(failure.as_json())
        return failure.code
    return result if isinstance(result, int) else ExitCode.DONE


def failure_of(error: Exception) -> Failure:
    """The failure to tell of `error`. An error nobody foresaw is a defect: its traceback goes to stderr as well."""
    match error:
        case HushfleetError():
            mistakes = getattr(error, "mistakes", ())  # of `hushfleet.program.settings.SettingsError`, which need not be loaded
            return Failure(_code_of(error), str(error.reason), error.message, error.next_step, mistakes)
        case click.ClickException():
            return _failure_of_click(error)
        case click.Abort():
            return Failure(ExitCode.FAILED, "interrupted", "interrupted")
        case OSError():
            return _failure_of_system(error)
    say_traceback(error)
    return Failure(ExitCode.FAILED, "defect", f"{type(error).__name__}: {error}", "report this together with the traceback above")


def _code_of(error: HushfleetError) -> ExitCode:
    if error.reason in _LATER:
        return ExitCode.TRY_LATER
    if error.reason in _STORAGE:
        return ExitCode.CANNOT_START
    if isinstance(error, PeerError | BudgetError) or error.reason in _PERMISSION:
        return ExitCode.REFUSED
    if error.reason in _ABSENT:
        return ExitCode.NOT_FOUND
    return ExitCode.USAGE if error.reason in _CONFIGURATION else ExitCode.FAILED


def _failure_of_click(error: click.ClickException) -> Failure:
    message = error.format_message()
    match error:
        case NotInstalled():
            return Failure(ExitCode.USAGE, "not-installed", message, error.next_step)
        case click.UsageError():
            return Failure(ExitCode.USAGE, "usage", message, f"{error.ctx.command_path if error.ctx else DISTRIBUTION} --help")
    return Failure(ExitCode.FAILED, "failed", message)


def _failure_of_system(error: OSError) -> Failure:
    message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return Failure(ExitCode.NOT_FOUND, "not-found", message, "check the path")
        case PermissionError():
            return Failure(ExitCode.REFUSED, "permission", message, "check who owns it, or run as that user")
        case ConnectionError() | TimeoutError():
            return Failure(ExitCode.TRY_LATER, "unreachable", message, "try again when the other side is up")
    return Failure(ExitCode.FAILED, "system", message)


class NotInstalled(click.ClickException):
    """A command that is registered but cannot be imported here."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step


def _installed() -> dict[str, EntryPoint]:
    """The commands by name. A plug-in cannot replace one of ours."""
    commands: dict[str, EntryPoint] = {}
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        # Whose it is stands in a file with the whole README in it: read only where two have one name.
        if entry_point.name not in commands or _is_ours(entry_point):
            commands[entry_point.name] = entry_point
    return commands


def _is_ours(entry_point: EntryPoint) -> bool:
    return entry_point.dist is not None and entry_point.dist.name == DISTRIBUTION


def _summary(entry_point: EntryPoint) -> str:
    if _is_ours(entry_point):
        return SUMMARIES[entry_point.name][0]
    return f"From {entry_point.dist.name}." if entry_point.dist else ""


def _load(entry_point: EntryPoint) -> click.Command:
    """Import the command; what is missing becomes a message that says what to install."""
    try:
        command = entry_point.load()
    except ModuleNotFoundError as error:
        raise _missing(entry_point, error) from error
    if not isinstance(command, click.Command):
        message = f"'{entry_point.name}' is registered as {entry_point.value}, which is not a click command"
        raise NotInstalled(message, _remedy(entry_point))
    return command


def _missing(entry_point: EntryPoint, error: ModuleNotFoundError) -> NotInstalled:
    message = f"'{entry_point.name}' needs the Python module '{error.name}', which is not installed"
    return NotInstalled(message, _remedy(entry_point))


def _remedy(entry_point: EntryPoint) -> str:
    if not _is_ours(entry_point):
        return f"ask the maker of {entry_point.dist.name if entry_point.dist else entry_point.value}"
    extra = SUMMARIES[entry_point.name][1]
    return f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install --force-reinstall {DISTRIBUTION}"
