"""The vault's folder: its files, and the lock that lets one command at a time change them.

`registry.json` is the vault: it is written last when a vault is made, and replaced as a whole by every change. What else lies
there is either secret (`secrets.box`), written by a person (`policy.toml`), or follows from the registry.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from hushfleet.errors import LocalError, Refusal
from hushfleet.system.durable import write_durably
from hushfleet.system.folders import make_private, require_private
from hushfleet.system.locks import folder_locked
from hushfleet.typed import typed
from provisioning.contents import VaultContents
from provisioning.policy_file import FILE as POLICY_FILE
from provisioning.policy_file import PolicyFile, read_policy

REVOCATIONS = "crl.pem"
BUNDLES = "bundles"
ROSTER = "fleet.roster"
BROKER = "broker"
"""Not a file of the vault: the folder that the registry names."""
_UNFINISHED = {"lock", "secrets.box", POLICY_FILE, "root.pub", "ca.pem", "registry.json", BUNDLES}


@dataclass(frozen=True, slots=True)
class VaultFolder:
    """A folder that is, or will be, a vault. Nothing here needs the passphrase."""

    path: Path

    @property
    def registry_file(self) -> Path:
        """The part of the vault that is no secret."""
        return self.path / "registry.json"

    @property
    def secrets_file(self) -> Path:
        """The root key and the CA's key, encrypted."""
        return self.path / "secrets.box"

    @property
    def policy_file(self) -> Path:
        """The policy as its owner writes it."""
        return self.path / POLICY_FILE

    @property
    def roster_file(self) -> Path:
        """The roster in force, for the orchestrator to publish."""
        return self.path / ROSTER

    def bundle_file(self, device_id: str) -> Path:
        """The bundle of one device or orchestrator."""
        return self.path / BUNDLES / f"{device_id}.bundle"

    def exists(self) -> bool:
        """True if there is a vault."""
        return self.registry_file.exists()

    def registry(self) -> VaultContents:
        """The registry. Raises `LocalError`: `VAULT_MISSING`, `VAULT_DAMAGED`."""
        if not self.exists():
            raise LocalError(
                Refusal.VAULT_MISSING,
                f"there is no vault in {self.path}",
                next_step=f"Name it: --vault FOLDER or HUSHFLEET_VAULT. To make one: {typed('provision', 'init', 'NAME')}",
            )
        return VaultContents.from_json(self.registry_file.read_bytes())

    def policy(self) -> PolicyFile:
        """The policy file's contents. Raises `FileNotFoundError`, `LocalError(CONFIG_INVALID)` with every wrong line."""
        return read_policy(self.policy_file)

    def require_room(self) -> None:
        """Raise `LocalError(VAULT_EXISTS)` if there is a vault, or anything that a vault which was not finished would not leave."""
        if self.exists():
            text = f"{self.path} already holds the vault of {self.registry().fleet}"
            raise LocalError(Refusal.VAULT_EXISTS, text, next_step="Use it as it is, or choose another --vault.")
        found = {path.name.removesuffix(".part") for path in self.path.iterdir()} if self.path.is_dir() else set()
        if found - _UNFINISHED:
            raise LocalError(Refusal.VAULT_EXISTS, f"{self.path} is not empty", next_step="Choose another --vault.")

    def make(self) -> None:
        """The folder itself, for its owner alone. Raises `LocalError(FOLDER_UNSAFE)` for one that others can write in."""
        make_private(self.path)
        make_private(self.path / BUNDLES)

    def write(self, name: str, data: bytes) -> None:
        """One file of the vault, durably."""
        write_durably(self.path / name, data)

    def locked(self) -> AbstractContextManager[None]:
        """Be the only command that changes this vault. Raises `LocalError`: `STATE_IN_USE` if another one does, `FOLDER_UNSAFE`."""
        require_private(self.path)
        return folder_locked(self.path, next_step="Let that command finish, then try again.")
