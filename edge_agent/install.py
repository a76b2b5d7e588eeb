"""The agent as a service: what `hushfleet agent install` and `uninstall` do, one action after the other.

With DynamicUser the service has no user before it runs. So root writes the state folder, and systemd gives it to the service's
user at the first start; what root writes there later is handed over by `StateFolder.hand_over`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path

from edge_agent.config import load
from edge_agent.data.check import check_data
from edge_agent.data.verdict import verdict_of
from edge_agent.enrolment import enrolled, join_fleet
from edge_agent.folder import DeviceKeys, StateFolder
from hushfleet.errors import LocalError, Refusal
from hushfleet.program.terminal import say
from hushfleet.system.durable import write_durably
from hushfleet.typed import typed

UNIT = "hushfleet-agent.service"
_SHIPPED_PROGRAM = "/usr/bin/hushfleet"
_HIDDEN = ("home", "root", "run/user", "tmp", "var/tmp")
"""The folders that the service does not see: ProtectHome and PrivateTmp."""
_KEYS = DeviceKeys.FILE


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True)


def _user_state() -> Path | None:
    """The state folder of an agent that the user behind sudo runs by hand."""
    name = os.environ.get("SUDO_USER", "")
    home = Path(f"~{name}").expanduser() if name else None
    return home / ".local/state/hushfleet/agent" if home and home.is_absolute() else None


@dataclass(frozen=True, slots=True)
class TargetMachine:
    """The machine to install on; a test gives another root folder and notes the commands."""

    root: Path = Path("/")
    run: Callable[[Sequence[str]], None] = _run
    user_id: int = field(default_factory=os.geteuid)
    program: Path = field(default_factory=lambda: Path(sys.executable).with_name("hushfleet"))
    user_state: Path | None = field(default_factory=_user_state)

    @property
    def unit(self) -> Path:
        """The installed unit."""
        return self.root / "etc/systemd/system" / UNIT

    @property
    def config(self) -> Path:
        """The installed configuration."""
        return self.root / "etc/hushfleet/agent.toml"

    @property
    def state(self) -> StateFolder:
        """The service's state folder."""
        return StateFolder(self.root / "var/lib/hushfleet-agent")

    @property
    def runs_systemd(self) -> bool:
        """True if systemd manages this machine (sd_booted(3))."""
        return (self.root / "run/systemd/system").is_dir()


@dataclass(frozen=True, slots=True)
class Wanted:
    """The words that were typed."""

    bundle: Path | None = None
    config: Path | None = None
    state: Path | None = None
    yes: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do, in words and as a call."""

    text: str
    do: Callable[[], object]


def install(machine: TargetMachine, wanted: Wanted) -> tuple[Action, ...]:
    """The actions that are left to do; only what differs is changed.

    Raises `LocalError`: `SYSTEM_UNSUPPORTED`, or `NOT_ENROLLED` if there are no keys, or no bundle for a device that has not
    joined.
    """
    _require_service(machine)
    return tuple(_install(machine, wanted))


def uninstall(machine: TargetMachine, *, purge: bool) -> tuple[Action, ...]:
    """The actions that are left to do."""
    return tuple(_uninstall(machine, purge=purge))


def carry_out(actions: Sequence[Action], machine: TargetMachine, *, dry_run: bool) -> None:
    """Print each action and, unless `dry_run`, do it. Raises PermissionError for anybody but root."""
    if not dry_run and machine.user_id != 0:
        raise PermissionError("a service is installed and removed by root: type sudo in front")
    for action in actions:
        say(f"would {action.text}" if dry_run else action.text)
        if not dry_run:
            action.do()


def data_note(machine: TargetMachine) -> str:
    """The advice while the data cannot be trained on, found as the agent finds it; empty if all is well."""
    config = load(machine.config)
    if not config.training.enabled:
        return ""
    verdict = verdict_of(check_data(config, machine.state))
    if verdict.healthy:
        return ""
    return f"Note: training data {verdict.text} Until then this device spends its budget on zeros; see [data] in {machine.config}."


def unit_text(program: Path) -> str:
    """The shipped unit for the program that is installed here."""
    return files("edge_agent").joinpath(UNIT).read_text().replace(_SHIPPED_PROGRAM, str(program))


def _require_service(machine: TargetMachine) -> None:
    if not machine.runs_systemd:
        raise LocalError(
            Refusal.SYSTEM_UNSUPPORTED,
            "systemd does not manage this machine",
            next_step=f"Start the agent yourself: {typed('agent', 'run')}",
        )
    if any(machine.program.is_relative_to(machine.root / hidden) for hidden in _HIDDEN):
        raise LocalError(
            Refusal.SYSTEM_UNSUPPORTED,
            f"{machine.program} lies where a service must not look",
            next_step="Install to /opt: sudo python3 -m venv /opt/hushfleet && sudo /opt/hushfleet/bin/pip install 'hushfleet[agent]'",
        )


def _install(machine: TargetMachine, wanted: Wanted) -> Iterator[Action]:
    state, source = machine.state, _source(machine, wanted)
    if source is None and not enrolled(state):
        raise LocalError(Refusal.NOT_ENROLLED, "no keys were made here", next_step=f"Type: sudo {typed('agent', 'enrol', '--service')}")
    if wanted.bundle is None and (source or state).fleet() is None:
        raise LocalError(
            Refusal.NOT_ENROLLED, "no fleet was joined here", next_step=f"Type: sudo {typed('agent', 'install', 'NAME.bundle')}"
        )
    config, unit = _new_config(machine, wanted), unit_text(machine.program)
    changes_unit = not machine.unit.exists() or machine.unit.read_text() != unit
    if (source or wanted.bundle) and machine.unit.exists():
        yield Action(f"stop {UNIT}", partial(machine.run, ["systemctl", "stop", UNIT]))
    if source:
        yield Action(f"move keys and ledger from {source.path} to {state.path}", partial(move_state, source, state))
    if config is not None:
        yield Action(f"write {machine.config}", partial(_write, machine.config, config, 0o600))
    if wanted.bundle:
        yield Action(f"join with {wanted.bundle}", partial(_join, machine, wanted))
    if changes_unit:
        yield Action(f"write {machine.unit}", partial(_write, machine.unit, unit, 0o644))
        yield Action("reload systemd", partial(machine.run, ["systemctl", "daemon-reload"]))
    yield Action(f"enable {UNIT}", partial(machine.run, ["systemctl", "enable", UNIT]))
    verb = "restart" if source or wanted.bundle or changes_unit or config is not None else "start"
    yield Action(f"{verb} {UNIT}", partial(machine.run, ["systemctl", verb, UNIT]))


def _uninstall(machine: TargetMachine, *, purge: bool) -> Iterator[Action]:
    if machine.unit.exists():
        yield Action(f"stop and disable {UNIT}", partial(machine.run, ["systemctl", "disable", "--now", UNIT]))
        yield Action(f"remove {machine.unit}", partial(machine.unit.unlink, missing_ok=True))
        yield Action("reload systemd", partial(machine.run, ["systemctl", "daemon-reload"]))
    if purge:
        private = machine.root / "var/lib/private/hushfleet-agent"
        for path in (machine.state.path, private, machine.config):
            if path.exists() or path.is_symlink():
                yield Action(f"remove {path}", partial(_remove, path))


def _source(machine: TargetMachine, wanted: Wanted) -> StateFolder | None:
    """The folder in which keys were made for an agent that was run by hand, unless the service has others. A move may be half done."""
    for path in (wanted.state, machine.user_state):
        if path is not None and enrolled(StateFolder(path)) and (not enrolled(machine.state) or _twins(StateFolder(path), machine.state)):
            return StateFolder(path)
    return None


def _twins(one: StateFolder, other: StateFolder) -> bool:
    return enrolled(other) and (one.path / _KEYS).read_bytes() == (other.path / _KEYS).read_bytes()


def _new_config(machine: TargetMachine, wanted: Wanted) -> str | None:
    """The configuration to be written, or None if the present one stays."""
    if wanted.config is not None:
        load(wanted.config)
        text = wanted.config.read_text(encoding="utf-8")
        return text if not machine.config.exists() or machine.config.read_text(encoding="utf-8") != text else None
    return None if machine.config.exists() else files("edge_agent").joinpath("agent.toml").read_text(encoding="utf-8")


def move_state(source: StateFolder, target: StateFolder) -> None:
    """Keys and ledger move: two copies would be two devices with one budget. A crash in between leaves what a second call finishes."""
    target.make()
    with ExitStack() as locks:
        locks.enter_context(source.locked())
        locks.enter_context(target.locked())
        if not _twins(source, target):  # with the keys, which come last, the move is done but for what is left at the source
            kept = [path for path in sorted(source.path.iterdir()) if path.is_file() and path.name not in ("lock", _KEYS)]
            for path in (*kept, source.path / _KEYS):
                write_durably(target.path / path.name, path.read_bytes())
        target.hand_over()
        (source.path / _KEYS).unlink()
    shutil.rmtree(source.path)


def _join(machine: TargetMachine, wanted: Wanted) -> None:
    if wanted.bundle is not None:
        join_fleet(machine.state, wanted.bundle, yes=wanted.yes, config=load(machine.config), err=False)


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, text.encode(), mode=mode)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
