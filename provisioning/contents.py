"""The part of a vault that is no secret: who is enrolled with which keys, what was signed, which certificates were withdrawn.

One JSON file, replaced as a whole, so that a crash leaves the old state or the new one.
"""

import hashlib
import hmac
from datetime import datetime
from functools import cached_property

import msgspec

from hushfleet.codec import decode
from hushfleet.documents import DeviceEntry, EnrolledRole, VerifiedRoster, fingerprint, open_roster
from hushfleet.errors import HushfleetError, LocalError, Refusal
from hushfleet.signing import Signed, VerifyKey
from hushfleet.system.formats import UnreadableError, from_json
from hushfleet.typed import typed
from hushfleet.wire.limits import LIMITS

VERSION = 1


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the records that the registry holds. Bytes stand in base64."""


class Identity(_Record, frozen=True):
    """A device or orchestrator as approved: its public keys, and the certificate that the CA gave it (both PEM)."""

    role: EnrolledRole
    device_id: str
    verify_key: bytes
    sealing_key: bytes
    certificate_request: str
    fingerprint: str
    approved: datetime
    certificate: str = ""

    @property
    def entry(self) -> DeviceEntry:
        """The device's entry in a roster."""
        return DeviceEntry.make(self.device_id, self.verify_key, self.sealing_key)


class Issued(_Record, frozen=True):
    """A certificate that the CA gave to an identity, kept until it expires: each may still be in use. `serial_number` in hex."""

    serial_number: str
    device_id: str
    ends: datetime


class Withdrawn(_Record, frozen=True):
    """A certificate that must not be accepted any more. `serial_number` in hex."""

    serial_number: str
    device_id: str
    date: datetime


class Address(_Record, frozen=True):
    """The address of the broker that the bundles name."""

    host: str
    port: int = 8883


class BrokerFolder(_Record, frozen=True):
    """The folder that `provision broker` wrote last: where, for which names, and whether for Debian's service."""

    folder: str
    hosts: tuple[str, ...]
    service: bool = False


class VaultContents(_Record, frozen=True, dict=True):
    """The whole public part of a vault. `roster` is the encoded signed roster, empty before the first committee.

    `skipped`: how many serial numbers the next roster leaves out, because a lost vault may have used them. `authenticator` is over all
    the rest, under a key that the passphrase alone opens. `due` names files of the vault that follow from the registry and are still
    to be written after a change; `grants` are the sealed key shares that go into them, and stay no longer.
    """

    version: int
    fleet: str
    root_key: bytes
    broker: Address
    ca_certificate: str
    orchestrator: Identity | None = None
    devices: tuple[Identity, ...] = ()
    roster: bytes = b""
    grants: dict[str, bytes] = {}
    issued: tuple[Issued, ...] = ()
    withdrawn: tuple[Withdrawn, ...] = ()
    skipped: int = 0
    due: tuple[str, ...] = ()
    authenticator: bytes = b""
    broker_folder: BrokerFolder | None = None

    @property
    def root(self) -> VerifyKey:
        """The root public key."""
        return VerifyKey(self.root_key)

    @cached_property
    def verified(self) -> VerifiedRoster | None:
        """The roster in force, None before the first. Raises `LocalError(VAULT_DAMAGED)`."""
        if not self.roster:
            return None
        try:
            return open_roster(decode(Signed, self.roster, max_bytes=LIMITS.signed_document), self.root)
        except HushfleetError as error:
            raise damaged(f"the roster in the registry: {error.message}") from error

    @cached_property
    def _enrolled(self) -> frozenset[str]:
        return frozenset(entry.device_id for entry in self.verified.roster.devices) if self.verified else frozenset()

    @property
    def root_fingerprint(self) -> str:
        """The root key's fingerprint, which everybody compares before pinning the key."""
        return fingerprint(self.root_key)

    def joins(self, device_id: str) -> bool:
        """True if the roster in force holds this identity's own keys: then it can join with a bundle."""
        identity, roster = self.find(device_id), self.verified
        if identity is None or roster is None:
            return False
        if identity.role is EnrolledRole.ORCHESTRATOR:
            return (identity.verify_key, identity.sealing_key) == (
                roster.roster.orchestrator_verify_key,
                roster.roster.orchestrator_sealing_key,
            )
        return device_id in self._enrolled and roster.device(device_id) == identity.entry

    def identities(self) -> tuple[Identity, ...]:
        """All identities: the devices, then the orchestrator."""
        return (*self.devices, *((self.orchestrator,) if self.orchestrator else ()))

    def find(self, device_id: str) -> Identity | None:
        """The identity with this id."""
        return next((one for one in self.identities() if one.device_id == device_id), None)

    def device(self, device_id: str) -> Identity:
        """An approved device. `LocalError(NOT_ENROLLED)` if there is none of this id."""
        found = self.find(device_id)
        if found is None or found.role is not EnrolledRole.DEVICE:
            what = "is the orchestrator, not a device" if found else "is not an approved device of this fleet"
            raise LocalError(Refusal.NOT_ENROLLED, f"{device_id[:63]!r} {what}", next_step=f"Run: {typed('provision', 'device', 'list')}")
        return found

    def with_identity(self, identity: Identity) -> "VaultContents":
        """These contents with `identity` in the place of whoever has its id or, for an orchestrator, its role; new devices come last."""
        if identity.role is EnrolledRole.ORCHESTRATOR:
            return msgspec.structs.replace(self, orchestrator=identity)
        known = [one.device_id for one in self.devices]
        if identity.device_id not in known:
            return msgspec.structs.replace(self, devices=(*self.devices, identity))
        devices = tuple(identity if one.device_id == identity.device_id else one for one in self.devices)
        return msgspec.structs.replace(self, devices=devices)

    def with_issued(self, certificate: Issued) -> "VaultContents":
        """These contents with one more certificate."""
        return msgspec.structs.replace(self, issued=(*self.issued, certificate))

    def withdrawing(self, device_id: str, now: datetime) -> "VaultContents":
        """These contents with every certificate withdrawn that this identity ever got and that has not expired."""
        gone = tuple(Withdrawn(one.serial_number, device_id, now) for one in self.issued if one.device_id == device_id)
        kept = tuple(one for one in self.issued if one.device_id != device_id and one.ends > now)
        return msgspec.structs.replace(self, issued=kept, withdrawn=(*self.withdrawn, *gone))

    def without(self, device_id: str) -> "VaultContents":
        """These contents without the device of this id."""
        return msgspec.structs.replace(self, devices=tuple(one for one in self.devices if one.device_id != device_id))

    def sealed(self, key: bytes) -> "VaultContents":
        """These contents with their authenticator."""
        return msgspec.structs.replace(self, authenticator=self._authenticator(key))

    def is_sealed(self, key: bytes) -> bool:
        """True if nothing was changed since `sealed`."""
        return hmac.compare_digest(self.authenticator, self._authenticator(key))

    def _authenticator(self, key: bytes) -> bytes:
        rest = msgspec.json.encode(msgspec.structs.replace(self, authenticator=b""))
        return hashlib.blake2b(rest, digest_size=32, key=key, person=b"hushfleet-vault").digest()

    def to_json(self) -> bytes:
        """The file's content."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> "VaultContents":
        """The contents that `to_json` wrote. Raises `LocalError(VAULT_DAMAGED)`."""
        try:
            registry = from_json(data, cls)
        except UnreadableError as error:
            raise damaged(f"the registry: {error}") from error
        if registry.version != VERSION:
            raise damaged(f"a registry of version {registry.version}, this program knows {VERSION}")
        return registry


def damaged(what: str) -> LocalError:
    """The error for a vault that contradicts itself."""
    next_step = f"Put a backup of the vault in place, then: {typed('provision', 'vault', 'recover', '--roster', 'FILE')}"
    return LocalError(Refusal.VAULT_DAMAGED, what, next_step=next_step)
