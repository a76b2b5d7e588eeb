"""The state folder: its lock, what joining a fleet left in it, and who owns its files.

| file | what |
|---|---|
| `device.keys`, `tls.key` | secret keys, made here |
| `fleet.json` | the pinned root key, the fleet, the broker; written last, so that it stands for a whole join |
| `ca.crt`, `tls.crt` | the fleet's CA and this device's certificate |
| `agent.db`, `contribution.blob` | `edge_agent.store` |
| `spool/` | transfers under way |
| `lock` | held by the one agent that runs; says which |
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import msgspec

from hushfleet.documents.enrolment import fingerprint
from hushfleet.errors import LocalError, Refusal
from hushfleet.link.files import write_durably
from hushfleet.signing import VerifyKey

SERVICE_STATE = Path("/var/lib/hushfleet-agent")
_ATTEMPTS, _PAUSE_S = 5, 0.1


class Fleet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle told: public, but nobody else may change it. `root_key` in hex."""

    fleet: str
    device_id: str
    root_key: str
    broker_host: str
    broker_port: int

    @property
    def root(self) -> VerifyKey:
        """The pinned root key."""
        return VerifyKey(bytes.fromhex(self.root_key))

    @property
    def root_fingerprint(self) -> str:
        """To compare with the owner's."""
        return fingerprint(self.root.raw)


@dataclass(frozen=True, slots=True)
class StateFolder:
    """One agent's folder. Nothing is read or made before a method is called."""

    path: Path

    @property
    def tls_key(self) -> Path:
        """The P-256 key, PEM."""
        return self.path / "tls.key"

    @property
    def certificate(self) -> Path:
        """This device's certificate, PEM."""
        return self.path / "tls.crt"

    @property
    def ca(self) -> Path:
        """The fleet's CA, PEM."""
        return self.path / "ca.crt"

    @property
    def spool(self) -> Path:
        """Where transfers under way are kept."""
        return self.path / "spool"

    def fleet(self) -> Fleet | None:
        """What joining left, or None before. Raises `LocalError(NOT_ENROLLED)` if the file is damaged."""
        file = self.path / "fleet.json"
        if not file.exists():
            return None
        try:
            return msgspec.json.decode(file.read_bytes(), type=Fleet)
        except msgspec.MsgspecError as error:
            raise LocalError(Refusal.NOT_ENROLLED, f"{file} is damaged: {error}", next_step="Join with the bundle again.") from error

    def joined(self) -> Fleet:
        """As `fleet`. Raises `LocalError(NOT_ENROLLED)` before joining."""
        fleet = self.fleet()
        if fleet is None:
            text = f"{self.path} belongs to no fleet yet"
            raise LocalError(Refusal.NOT_ENROLLED, text, next_step="Run: hushfleet agent join NAME.bundle")
        return fleet

    def keep_fleet(self, fleet: Fleet, *, ca: bytes, certificate: bytes) -> None:
        """Store what a bundle told."""
        write_durably(self.ca, ca, mode=0o600)
        write_durably(self.certificate, certificate, mode=0o600)
        write_durably(self.path / "fleet.json", msgspec.json.format(msgspec.json.encode(fleet)) + b"\n", mode=0o600)

    def make(self) -> None:
        """Make the folder, for its owner alone."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one at work on this folder. Raises `LocalError(STATE_IN_USE)` and says who is."""
        with (self.path / "lock").open("a+") as file:
            if not _lock(file, fcntl.LOCK_EX, _ATTEMPTS):
                message = f"{self.path} is in use by {_holder(file)}"
                raise LocalError(Refusal.STATE_IN_USE, message, next_step="Stop that one first, or choose another --state.")
            file.truncate(0)
            file.write(f"process {os.getpid()}")
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)

    def holder(self) -> str | None:
        """The process that holds the lock, or None."""
        path = self.path / "lock"
        if not path.exists():
            return None
        with path.open() as file:
            return None if _lock(file, fcntl.LOCK_SH, 1) else _holder(file)

    def hand_over(self) -> None:
        """Give every file to the owner of the folder: what root wrote here is otherwise closed to the service."""
        if os.geteuid() != 0:
            return
        owner = self.path.stat()
        for path in self.path.rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _lock(file: TextIO, kind: int, attempts: int) -> bool:
    """Whether the lock was got. Several attempts, for `holder` takes it for a moment."""
    for attempt in range(attempts):
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S if attempt + 1 < attempts else 0)
        else:
            return True
    return False


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read(200).strip() or "another process"


def default_state(environment: "os._Environ[str] | dict[str, str]" = os.environ) -> Path:
    """Where an agent that is run by hand keeps its state."""
    base = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME") or Path.home()) / ".local/state"
    return Path(base) / "hushfleet/agent"
