"""The folder of a lasting fleet.

| in the folder | what |
|---|---|
| `passphrase`, `vault/` | the owner's vault, and the passphrase that opens it (mode 0600) |
| `broker/` | Mosquitto's folder, written by the vault |
| `agents/<id>/` | `agent.toml`, and the device's state folder `state/` |
| `orchestrator/`, `job.toml`, `holdout.npz` | the orchestrator's state folder, its job, rows that no device has |
| `logs/` | a file for each process |
| `processes.json` | the processes that were started |
| `fleet.json` | what the fleet is; written last, so that it stands for a whole fleet |
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hushfleet.errors import LocalError, Refusal
from hushfleet.system.durable import write_durably
from hushfleet.system.formats import from_json
from hushfleet.system.locks import folder_locked
from hushfleet.typed import typed


class FleetFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of a fleet, its broker's port, and the job's least cohort."""

    fleet: str
    port: int
    devices: int
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """The folder. Nothing is read or made before a method is called."""

    path: Path

    @property
    def vault(self) -> Path:
        """The owner's vault."""
        return self.path / "vault"

    @property
    def passphrase(self) -> Path:
        """The file with the vault's passphrase."""
        return self.path / "passphrase"

    @property
    def broker(self) -> Path:
        """The broker's folder."""
        return self.path / "broker"

    @property
    def orchestrator(self) -> Path:
        """The orchestrator's state folder."""
        return self.path / "orchestrator"

    @property
    def orchestrator_config(self) -> Path:
        """The orchestrator's configuration."""
        return self.path / "orchestrator.toml"

    @property
    def job(self) -> Path:
        """The job's file."""
        return self.path / "job.toml"

    @property
    def holdout(self) -> Path:
        """Rows that no device has, if there are any."""
        return self.path / "holdout.npz"

    def agent(self, name: str) -> Path:
        """The folder of one device."""
        return self.path / "agents" / name

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.path / "logs" / f"{name}.log"

    def agents(self) -> tuple[str, ...]:
        """The devices that live here: one whose folder moved to another machine does not."""
        return tuple(sorted(path.name for path in (self.path / "agents").iterdir()))

    def is_whole(self) -> bool:
        """True if a fleet was made here."""
        return self._facts.exists()

    def facts(self) -> FleetFacts:
        """The facts of the fleet. Raises `LocalError(SETTINGS_INVALID)` if none was made here."""
        if not self.is_whole():
            text = f"there is no fleet in {self.path}"
            raise LocalError(Refusal.SETTINGS_INVALID, text, next_step=f"To make one: {typed('up', '--devices', '6', '--data', 'FOLDER')}")
        return from_json(self._facts.read_bytes(), FleetFacts)

    def keep(self, facts: FleetFacts) -> None:
        """Note that the fleet is whole."""
        write_durably(self._facts, msgspec.json.encode(facts) + b"\n")

    def make(self) -> None:
        """The folder itself, for its owner alone. Raises `LocalError(SETTINGS_INVALID)` if anything is in it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(one.name != "lock" for one in self.path.iterdir()):
            text = f"{self.path} is not empty, and no whole fleet is in it"
            raise LocalError(Refusal.SETTINGS_INVALID, text, next_step="Remove it, or choose another --fleet.")
        (self.path / "logs").mkdir(mode=0o700)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only command at work on this fleet. Raises `LocalError(STATE_IN_USE)`."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with folder_locked(self.path, next_step="Let that command finish, then try again."):
            yield

    @property
    def _facts(self) -> Path:
        return self.path / "fleet.json"
