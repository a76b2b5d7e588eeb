"""The state folder: its lock, and what joining a fleet left in it.

| name | what |
|---|---|
| `orchestrator.keys`, `tls.key` | secret keys, made here |
| `fleet.json` | the pinned root key, the fleet, the broker; written last, so that it stands for a whole join |
| `ca.crt`, `tls.crt` | the fleet's CA and this orchestrator's certificate |
| `orchestrator.db`, `blobs/`, `archive/` | `orchestrator.store` |
| `inbox/` | rosters handed over by `publish-roster` |
| `spool/` | transfers under way |
| `lock` | held by the one process that writes |
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hushfleet.documents import fingerprint
from hushfleet.errors import LocalError, Refusal
from hushfleet.link.files import write_durably
from hushfleet.signing import VerifyKey

_FLEET = "fleet.json"


class Fleet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the bundle told. `root_key` in hex."""

    fleet: str
    name: str
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
    """One orchestrator's folder. Nothing is read or made before a method is called."""

    path: Path

    @property
    def tls_key(self) -> Path:
        """The P-256 key, PEM."""
        return self.path / "tls.key"

    @property
    def certificate(self) -> Path:
        """Its certificate, PEM."""
        return self.path / "tls.crt"

    @property
    def ca(self) -> Path:
        """The fleet's CA, PEM."""
        return self.path / "ca.crt"

    @property
    def spool(self) -> Path:
        """Where transfers under way are kept."""
        return self.path / "spool"

    @property
    def inbox(self) -> Path:
        """Where `publish-roster` leaves rosters."""
        return self.path / "inbox"

    def fleet(self) -> Fleet | None:
        """What joining left, or None before. Raises `LocalError(NOT_ENROLLED)` if the file is damaged."""
        file = self.path / _FLEET
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
            raise LocalError(Refusal.NOT_ENROLLED, text, next_step="hushfleet orchestrator join orchestrator.bundle")
        return fleet

    def keep_fleet(self, fleet: Fleet, *, ca: bytes, certificate: bytes) -> None:
        """Store what a bundle told."""
        write_durably(self.ca, ca)
        write_durably(self.certificate, certificate)
        write_durably(self.path / _FLEET, msgspec.json.format(msgspec.json.encode(fleet)) + b"\n")

    def make(self) -> None:
        """Make the folder, for its owner alone."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def hand_over(self) -> None:
        """Give every file to the owner of the folder: what root wrote here is otherwise closed to the service."""
        if os.geteuid() != 0:
            return
        owner = self.path.stat()
        for path in self.path.rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that writes here. Raises `LocalError(STATE_IN_USE)`."""
        with (self.path / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"another orchestrator is at work in {self.path}"
                raise LocalError(Refusal.STATE_IN_USE, message, next_step="Stop that one first, or choose another --state.") from None
            yield


def default_state(environment: Mapping[str, str] = os.environ) -> Path:
    """Where an orchestrator that is run by hand keeps its state."""
    base = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME") or Path.home()) / ".local/state"
    return Path(base) / "hushfleet/orchestrator"
