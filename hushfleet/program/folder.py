"""The state folder of a device or of the orchestrator: the party's own keys, and what joining a fleet left.

| file | what |
|---|---|
| `tls.key` and the keys' file | secret keys, made here, never sent anywhere |
| `fleet.json` | the pinned root key, the fleet, the broker; written last, so that it stands for a whole join |
| `ca.crt`, `tls.crt` | the fleet's CA and this party's certificate |
| `spool/` | transfers under way |
| `lock` | held by the one process that writes; says which |
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Generic, TypeVar

import msgspec

from hushfleet.documents import Bundle, VerifiedRoster, fingerprint, open_bundle
from hushfleet.documents.limits import MAX_BUNDLE_BYTES
from hushfleet.errors import FaultyOwner, LocalError, Refusal
from hushfleet.program.keys import PartyKeys
from hushfleet.signing import KEY_BYTES, VerifyKey
from hushfleet.system.durable import give_away, write_durably
from hushfleet.system.files import read_named
from hushfleet.system.folders import make_private, require_private
from hushfleet.system.formats import UnreadableError, from_json
from hushfleet.system.locks import folder_locked, lock_holder
from hushfleet.typed import typed

_FLEET = "fleet.json"


class Membership(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fleet that a party belongs to, as its bundle told. Public, but nobody else may change it. `root_key` in hex."""

    fleet: str
    device_id: str
    root_key: Annotated[str, msgspec.Meta(pattern=f"^[0-9a-f]{{{2 * KEY_BYTES}}}$")]
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


Keys = TypeVar("Keys", bound=PartyKeys)


@dataclass(frozen=True, slots=True)
class Offer(Generic[Keys]):
    """A bundle that is for the keys here. Whose bundle it is, only the root key's fingerprint can say."""

    keys: Keys
    root: VerifyKey
    bundle: Bundle
    roster: VerifiedRoster
    pinned: bool
    """True if this root key was pinned here before."""

    @property
    def root_fingerprint(self) -> str:
        """To compare with the owner's."""
        return fingerprint(self.root.raw)

    @property
    def is_member(self) -> bool:
        """True if this party is on the committee."""
        return self.bundle.device_id in self.roster.roster.committee

    @property
    def fleet(self) -> Membership:
        """The membership that joining keeps."""
        broker = self.bundle.broker
        return Membership(self.bundle.fleet, self.bundle.device_id, self.root.raw.hex(), broker.host, broker.port)


@dataclass(frozen=True, slots=True)
class PartyFolder:
    """One party's folder. Nothing is read or made before a method is called."""

    JOIN: ClassVar[tuple[str, ...]]
    """The words of the command that joins a fleet."""

    path: Path

    @property
    def tls_key(self) -> Path:
        """The P-256 key, PEM."""
        return self.path / "tls.key"

    @property
    def certificate(self) -> Path:
        """The party's certificate, PEM."""
        return self.path / "tls.crt"

    @property
    def ca(self) -> Path:
        """The fleet's CA, PEM."""
        return self.path / "ca.crt"

    @property
    def spool(self) -> Path:
        """The folder of the transfers under way."""
        return self.path / "spool"

    def fleet(self) -> Membership | None:
        """The fleet that was joined, or None before. Raises `LocalError(NOT_ENROLLED)` if the file is damaged."""
        file = self.path / _FLEET
        if not file.exists():
            return None
        try:
            return from_json(file.read_bytes(), Membership)
        except UnreadableError as error:
            raise LocalError(Refusal.NOT_ENROLLED, f"{file} is damaged: {error}", next_step="Join with the bundle again.") from error

    def joined(self) -> Membership:
        """The fleet that was joined. Raises `LocalError(NOT_ENROLLED)` before joining, or as `fleet`."""
        fleet = self.fleet()
        if fleet is None:
            raise LocalError(Refusal.NOT_ENROLLED, f"{self.path} belongs to no fleet yet", next_step=f"Run: {typed(*self.JOIN)}")
        return fleet

    def bundle_bytes(self, file: Path) -> bytes:
        """The content of the owner's bundle `file`. `LocalError(FILE_KIND)` for a folder, such as a trainable model."""
        if not file.is_dir():
            return read_named(file, MAX_BUNDLE_BYTES)
        if (file / "manifest.json").exists():
            message = f"{file} is a trainable model (a folder), not the owner's bundle for this party (a file)"
            models = "A trainable model is named in agent.toml, job.toml or policy.toml. "
        else:
            message, models = f"{file} is a folder, not the owner's bundle for this party (a file)", ""
        raise LocalError(
            Refusal.FILE_KIND, message, next_step=f"{models}Join with the file that the owner handed back: {typed(*self.JOIN)}"
        )

    def read_bundle(self, data: bytes, keys: Keys) -> Offer[Keys]:
        """Verify a bundle against `keys` and the root key pinned here.

        Raises `PeerError` as `open_bundle`, `FaultyOwner(BUNDLE_FOR_ANOTHER)` for a bundle of the other role.
        """
        fleet = self.fleet()
        pinned = fleet.root if fleet else None
        public = (keys.signing.verify_key, keys.sealing.public.raw)
        root, bundle, roster = open_bundle(data, root=pinned, device_id=keys.device_id, keys=public)
        if bundle.role is not keys.ROLE:
            raise FaultyOwner(Refusal.BUNDLE_FOR_ANOTHER, f"this is the bundle of a fleet's {bundle.role}")
        return Offer(keys, root, bundle, roster, pinned is not None)

    def keep_fleet(self, fleet: Membership, *, ca: bytes, certificate: bytes) -> None:
        """Store the membership and the certificates from a bundle."""
        write_durably(self.ca, ca)
        write_durably(self.certificate, certificate)
        write_durably(self.path / _FLEET, msgspec.json.format(msgspec.json.encode(fleet)) + b"\n")

    def make(self) -> None:
        """Make the folder, for its owner alone. Raises `LocalError(FOLDER_UNSAFE)` for one that others can write in."""
        make_private(self.path)

    def locked(self) -> AbstractContextManager[None]:
        """Be the only one at work on this folder. Raises `LocalError`: `STATE_IN_USE` with the process that is, `FOLDER_UNSAFE`."""
        require_private(self.path)
        return folder_locked(self.path, next_step="Stop that one first, or choose another --state.")

    def holder(self) -> str | None:
        """The process that holds the lock, or None."""
        return lock_holder(self.path)

    def hand_over(self) -> None:
        """Give every file to the owner of the folder: what root wrote here is otherwise closed to the service."""
        if os.geteuid() == 0:
            give_away(self.path)


def state_of(program: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The state folder of a program that is run by hand."""
    base = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME") or Path.home()) / ".local/state"
    return Path(base) / "hushfleet" / program
