"""The processes of a lasting fleet: started detached, found again by process id and start time, ended in order."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from hushfleet.errors import LocalError, Refusal
from hushfleet.system.durable import write_durably
from hushfleet.system.formats import from_json
from simulation.broker import find_mosquitto
from simulation.lasting.place import Place

BROKER, ORCHESTRATOR = "broker", "orchestrator"
_BROKER_S = 30.0
_END_S = 60.0
_TURN_S = 0.1
_START_TIME = 19  # the field of /proc/PID/stat, counted after the name of the program; its state is the first


class StartedProcess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process that was started: a process id is used again, a process id with its start time is not."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """True if this very process still runs."""
        found = _stat(self.pid)
        return found is not None and found[0] not in "ZX" and int(found[_START_TIME]) == self.started


class Processes:
    """All processes of one fleet, by name: `broker`, `orchestrator`, and the devices' ids."""

    def __init__(self, place: Place) -> None:
        self._place, self._file = place, place.path / "processes.json"
        known = from_json(self._file.read_bytes(), dict[str, StartedProcess]) if self._file.exists() else {}
        self._known = dict(known)

    def alive(self) -> dict[str, StartedProcess]:
        """Those that run."""
        return {name: one for name, one in self._known.items() if one.alive}

    def start(self, name: str, command: Sequence[str]) -> bool:
        """Start `command` unless it runs; whether it was started. What it says goes to its log."""
        if name in self.alive():
            return False
        with self._place.log(name).open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        found = _stat(process.pid)
        self._known[name] = StartedProcess(process.pid, int(found[_START_TIME]) if found else 0)
        self._write()
        return True

    def end(self, names: Iterable[str]) -> list[str]:
        """End these, one kind after the other so that nobody loses what is on its way: the orchestrator, the devices, the broker."""
        ended, wanted = [], set(names)
        for group in ({ORCHESTRATOR}, wanted - {ORCHESTRATOR, BROKER}, {BROKER}):
            alive = {name: one for name, one in self.alive().items() if name in group & wanted}
            for one in alive.values():
                _signal(one, signal.SIGTERM)
            until_s = time.monotonic() + _END_S
            while any(one.alive for one in alive.values()) and time.monotonic() < until_s:
                time.sleep(_TURN_S)  # they say goodbye
            for one in alive.values():
                _signal(one, signal.SIGKILL)
            ended += sorted(alive)
        self._known = self.alive()
        self._write()
        return ended

    def _write(self) -> None:
        write_durably(self._file, msgspec.json.encode(self._known) + b"\n")


def start_broker(processes: Processes, place: Place, port: int) -> bool:
    """Start Mosquitto unless it runs, and wait until it listens. Raises `LocalError(LINK_AWAY)`."""
    program = find_mosquitto()
    if program is None:
        raise LocalError(Refusal.LINK_AWAY, "Mosquitto is not installed", next_step="sudo apt install mosquitto")
    started = processes.start(BROKER, [program, "-c", str(place.broker.absolute() / "mosquitto.conf")])
    until_s = time.monotonic() + _BROKER_S
    while BROKER in processes.alive() and time.monotonic() < until_s:
        with suppress(OSError), socket.create_connection(("localhost", port), 1):
            return started
        time.sleep(_TURN_S)  # it is still starting
    raise LocalError(Refusal.LINK_AWAY, f"Mosquitto does not listen on port {port}", next_step=f"See {place.log(BROKER)}")


def start_agent(processes: Processes, place: Place, name: str) -> bool:
    """Start one device unless it runs."""
    folder = place.agent(name).absolute()
    return processes.start(name, [*_program(), "agent", "run", "--state", str(folder / "state"), "--config", str(folder / "agent.toml")])


def start_orchestrator(processes: Processes, place: Place) -> bool:
    """Start the job, or go on with it, unless it runs."""
    words = ["orchestrator", "run", place.job, "--yes", "--state", place.orchestrator, "--config", place.orchestrator_config]
    return processes.start(ORCHESTRATOR, [*_program(), *(str(word.absolute() if isinstance(word, Path) else word) for word in words)])


def _program() -> list[str]:
    script = Path(sys.executable).with_name("hushfleet")
    return [str(script)] if script.exists() else [sys.executable, "-c", "from hushfleet.cli import main; main()"]


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the program's name; None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _signal(one: StartedProcess, number: signal.Signals) -> None:
    if one.alive:
        with suppress(ProcessLookupError):
            os.kill(one.pid, number)
