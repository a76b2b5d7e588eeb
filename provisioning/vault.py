"""The owner's vault, opened with its passphrase: everything that needs the root key or the CA's key."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from hushfleet.codec import encode
from hushfleet.documents import Roster, VerifiedRoster
from hushfleet.encryption.paillier.dealing import Dealing
from hushfleet.errors import LocalError, PhaseError, Refusal
from hushfleet.ids import fleet_id
from hushfleet.owner import certificates
from hushfleet.owner.certificates import Authority
from hushfleet.owner.owner import Owner
from hushfleet.randomness import Randomness, SystemRandomness
from hushfleet.signing import Signed, SigningKey
from hushfleet.typed import typed
from provisioning import proposals as changes
from provisioning.broker import BrokerPlace, Guests, access, place_of, write_broker
from provisioning.bundles import bundle_of, grant_in
from provisioning.contents import VERSION, Address, BrokerFolder, Issued, VaultContents, damaged
from provisioning.folder import BROKER, BUNDLES, REVOCATIONS, ROSTER, VaultFolder
from provisioning.passphrase import Passphrase
from provisioning.policy_file import PolicyFile
from provisioning.policy_text import DEFAULT
from provisioning.proposals import Proposal
from provisioning.recovery import Recovery
from provisioning.strongbox import PassphraseCost, VaultSecrets, lock, unlock

Clock = Callable[[], datetime]
SYSTEM = SystemRandomness()


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that the passphrase opened."""

    owner: Owner
    authority: Authority


class Vault:
    """An open vault. It is locked against other commands until `close`; use it in a `with`.

    Each change is one new registry, written before anything that follows from it; what a crash left unwritten is written when
    the vault is opened again.
    """

    def __init__(self, folder: VaultFolder, registry: VaultContents, keys: Keys, held: ExitStack, now: Clock) -> None:
        """Called by `create` and `open`."""
        self.folder, self.registry = folder, registry
        self._keys, self._held, self._now = keys, held, now

    @classmethod
    def create(
        cls,
        path: Path,
        fleet: str,
        passphrase: Passphrase,
        *,
        broker: Address,
        policy: str = DEFAULT,
        randomness: Randomness = SYSTEM,
        cost: PassphraseCost | None = None,
        now: Clock = certificates.now,
    ) -> Self:
        """A new vault with a fresh root key and CA. Raises `LocalError(VAULT_EXISTS)`, `PeerError(ID_MALFORMED)` for the fleet."""
        folder, fleet = VaultFolder(path), fleet_id(fleet)
        passphrase.require_strong()
        folder.require_room()
        folder.make()
        with ExitStack() as stack:
            stack.enter_context(folder.locked())
            folder.require_room()
            keys = Keys(Owner(fleet, SigningKey.generate(randomness)), Authority.create(fleet, now()))
            root = keys.owner.root
            folder.write(folder.secrets_file.name, lock(VaultSecrets(root, keys.authority.key_der()), passphrase, randomness, cost))
            folder.write(folder.policy_file.name, policy.encode())
            folder.write("root.pub", f"{root.verify_key.raw.hex()}\n".encode())
            folder.write("ca.pem", keys.authority.certificate_pem)
            ca = keys.authority.certificate_pem.decode()
            registry = VaultContents(VERSION, fleet, root.verify_key.raw, broker, ca, due=(REVOCATIONS,))
            registry = registry.sealed(root.seed())
            folder.write(folder.registry_file.name, registry.to_json())
            return cls._opened(folder, registry, keys, stack, now)

    @classmethod
    def open(cls, path: Path, passphrase: Passphrase, *, now: Clock = certificates.now, altered: bool = False) -> Self:
        """Raises `LocalError`: `VAULT_MISSING`, `VAULT_DAMAGED`, `VAULT_PASSPHRASE`, `STATE_IN_USE`.

        `altered`: also with a registry that something else has changed, for `recover` alone.
        """
        folder = VaultFolder(path)
        folder.registry()
        with ExitStack() as stack:
            stack.enter_context(folder.locked())
            registry = folder.registry()
            keys = _unlock(folder, registry, passphrase)
            if not altered and not registry.is_sealed(keys.owner.root.seed()):
                raise damaged(f"{folder.registry_file} was changed by something else than this program")
            return cls._opened(folder, registry, keys, stack, now)

    @classmethod
    def _opened(cls, folder: VaultFolder, registry: VaultContents, keys: Keys, stack: ExitStack, now: Clock) -> Self:
        vault = cls(folder, registry, keys, stack, now)
        vault._write_due()
        vault._held = stack.pop_all()
        return vault

    def close(self) -> None:
        """Let other commands work on this vault again."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def root_fingerprint(self) -> str:
        """The fingerprint that everybody compares before pinning the root key."""
        return self.registry.root_fingerprint

    @property
    def roster(self) -> VerifiedRoster | None:
        """The roster in force."""
        return self.registry.verified

    @property
    def policy(self) -> PolicyFile:
        """The present policy file. Raises `FileNotFoundError`, `LocalError(CONFIG_INVALID)`."""
        return self.folder.policy()

    def approve(self, *requests: Signed) -> Proposal:
        """Enrol whoever made these requests. See `changes.approval`."""
        return self.carry_out(changes.approval(self.registry, self.policy, requests, self._now()))

    def revoke(self, device_id: str) -> Proposal:
        """Take a device out. See `changes.revocation`."""
        return self.carry_out(changes.revocation(self.registry, self.policy, device_id, self._now()))

    def deal(self, device_ids: Sequence[str], dealing: Dealing) -> Proposal:
        """Give the shares of a fresh key to these devices. See `changes.committee`. Forget `dealing` afterwards."""
        return self.carry_out(changes.committee(self.registry, self.policy, device_ids), dealing)

    def name_committee(self, device_ids: Sequence[str]) -> Proposal:
        """Make these devices the committee without a dealt key. See `changes.committee`."""
        return self.carry_out(changes.committee(self.registry, self.policy, device_ids, deals=False))

    def renew(self) -> Proposal:
        """Sign a roster with the policy file as it stands, if that differs from the roster in force."""
        return self.carry_out(changes.renewal(self.registry, self.policy))

    def move_broker(self, address: Address) -> None:
        """Name another broker in all bundles."""
        if address != self.registry.broker:
            bundled = tuple(one.device_id for one in self.registry.identities() if self.registry.joins(one.device_id))
            self._store(msgspec.structs.replace(self.registry, broker=address), bundled)

    def keep_broker(self, folder: BrokerFolder) -> None:
        """Write the broker's folder, and remember it: it is written anew with every change from which it follows."""
        Path(folder.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._store(msgspec.structs.replace(self.registry, broker_folder=folder), ())

    def carry_out(self, change: Proposal, dealing: Dealing | None = None) -> Proposal:
        """Issue, sign and store what `change` says, then write what follows. Raises `PhaseError` if the vault has moved on."""
        if change.before != self.registry or change.deals != (dealing is not None):
            raise PhaseError("the change was made for another state of the vault, or lacks its key")
        registry = self._certified(change)
        if change.roster is not None:
            registry = self._signed(registry, change.roster, dealing)
        if not change.is_empty:
            self._store(registry, change.bundles)
        return change

    def recover(self, recovery: Recovery) -> None:
        """Go on from what `recovery` says, under an authenticator of its own."""
        self._store(recovery.registry, ())

    def bundle(self, device_id: str) -> bytes:
        """The content of `NAME.bundle`. `LocalError(NOT_ENROLLED)` before the first roster, or for nobody's id.

        A member's key share is in it until its bundle file is deleted: no other copy is kept (PROTOCOL 2).
        """
        identity, roster = self.registry.find(device_id), self.roster
        if identity is None or roster is None or not self.registry.joins(device_id):
            text = f"{device_id[:63]!r} has no place in a signed roster yet"
            raise LocalError(Refusal.NOT_ENROLLED, text, next_step=f"Approve it; then: {typed('provision', 'committee', 'deal', 'ID...')}")
        grant = self.registry.grants.get(device_id) or grant_in(self.folder.bundle_file(device_id), roster)
        return bundle_of(self.registry, identity, roster, grant, self._keys.owner)

    def write_broker(self, out: Path, place: BrokerPlace) -> None:
        """Write all that the broker needs for the fleet as it is. See `broker.write_broker`."""
        guests = Guests(self.registry.fleet, access(self.registry), self._keys.authority, self._revocations(), self._now())
        write_broker(out, guests, place)

    def _certified(self, change: Proposal) -> VaultContents:
        registry = change.registry
        for device_id in change.certify:
            identity = registry.find(device_id)
            if identity is not None:
                pem = self._keys.authority.issue_to(device_id, identity.certificate_request.encode(), self._now())
                registry = registry.with_identity(msgspec.structs.replace(identity, certificate=pem.decode()))
                registry = registry.with_issued(Issued(f"{certificates.serial_number(pem):x}", device_id, certificates.ends(pem)))
        return registry

    def _signed(self, registry: VaultContents, roster: Roster, dealing: Dealing | None) -> VaultContents:
        owner, registry = self._keys.owner, msgspec.structs.replace(registry, skipped=0)
        if dealing is None:
            return msgspec.structs.replace(registry, roster=encode(owner.sign(roster).signed))
        verified = owner.sign(msgspec.structs.replace(roster, paillier=dealing.public.to_bytes()))
        return msgspec.structs.replace(registry, roster=encode(verified.signed), grants=owner.grants(verified, dealing))

    def _store(self, registry: VaultContents, bundles: Sequence[str]) -> None:
        files = (REVOCATIONS, *((ROSTER,) if registry.roster else ()), *((BROKER,) if registry.broker_folder else ()))
        due = (*files, *(f"{BUNDLES}/{device_id}.bundle" for device_id in bundles))
        self._keep(msgspec.structs.replace(registry, due=due))
        self._write_due()

    def _keep(self, registry: VaultContents) -> None:
        self.registry = registry.sealed(self._keys.owner.root.seed())
        self.folder.write(self.folder.registry_file.name, self.registry.to_json())

    def _write_due(self) -> None:
        if not self.registry.due:
            return
        for name in self.registry.due:
            if name == REVOCATIONS:
                self.folder.write(name, self._revocations())
            elif name == ROSTER:
                self.folder.write(name, self.registry.roster)
            elif name == BROKER:
                self._write_broker_folder()
            else:
                self._write_bundle(Path(name).stem)
        self._keep(msgspec.structs.replace(self.registry, due=(), grants={}))

    def _write_broker_folder(self) -> None:
        """The broker's folder, anew where it still is: it may have been carried away."""
        folder = self.registry.broker_folder
        if folder is not None and Path(folder.folder).is_dir():
            self.write_broker(Path(folder.folder), place_of(folder, self.registry.broker.port))

    def _write_bundle(self, device_id: str) -> None:
        file = self.folder.bundle_file(device_id)
        if self.registry.joins(device_id):
            self.folder.write(os.fspath(file.relative_to(self.folder.path)), self.bundle(device_id))
        else:
            file.unlink(missing_ok=True)

    def _revocations(self) -> bytes:
        withdrawn = [(int(one.serial_number, 16), one.date) for one in self.registry.withdrawn]
        return self._keys.authority.revocations(withdrawn, self._now())


def _unlock(folder: VaultFolder, registry: VaultContents, passphrase: Passphrase) -> Keys:
    try:
        secrets = unlock(folder.secrets_file.read_bytes(), passphrase)
    except FileNotFoundError as error:
        raise damaged(f"{folder.secrets_file} is gone") from error
    if secrets.root.verify_key != registry.root:
        raise damaged("registry and secrets are of different vaults")
    return Keys(Owner(registry.fleet, secrets.root), Authority.load(registry.ca_certificate.encode(), secrets.ca_key))
