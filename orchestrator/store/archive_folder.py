"""The archive: one folder per finished round, which an outsider can check with `hushfleet verify`."""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from hushfleet.documents.archive import ROOT_KEY_FILE, digest, folder_name, root_key_text, round_in
from hushfleet.errors import LocalError, Refusal
from hushfleet.rounds.effects import Change, KeepOutcome
from hushfleet.signing import VerifyKey
from hushfleet.system.durable import sync_folder, write_durably, write_new
from hushfleet.typed import typed

Files = Mapping[str, bytes]
_CHECKED = 16
"""The latest rounds that are compared with the store at every start; `hushfleet verify` looks at all."""


class Archive:
    """A job's folder of rounds. A round's folder appears whole or not at all.

    With a store around it a round is first prepared, then committed by the store, then published: so a round that is not over
    leaves at most a `.part` behind, which the next attempt replaces.
    """

    def __init__(self, folder: Path, root: VerifyKey) -> None:
        """Use `folder`, made if missing, and leave the root public key in it."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / ROOT_KEY_FILE, root_key_text(root).encode(), mode=0o644)

    def store(self, key_epoch: int, round_number: int, files: Files) -> Path:
        """Prepare and publish. Rounds count from 1 again under a new key."""
        return self.publish(self.prepare(key_epoch, round_number, files))

    def persist(self, changes: tuple[Change, ...]) -> None:
        """Keep finished rounds and nothing else: for a job that need not survive its process."""
        for change in changes:
            if isinstance(change, KeepOutcome):
                self.store(change.key_epoch, change.round, change.archive.files())

    def prepare(self, key_epoch: int, round_number: int, files: Files) -> str:
        """Write one round beside its place, durably; the name for `publish`.

        Raises `LocalError(STORE_ROLLED_BACK)` if another round of this number is there: it is never overwritten.
        """
        name = folder_name(key_epoch, round_number)
        beside = self._beside(name)
        if (self.folder / name).exists() and _read(self.folder / name) != dict(files):
            raise ahead(self.folder / name)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        for file_name, data in files.items():
            write_new(beside / file_name, data, mode=0o644)
        sync_folder(beside)
        sync_folder(self.folder)
        return name

    def publish(self, name: str) -> Path:
        """Put a prepared round in its place, durably. Again is harmless: a round that is there already stays."""
        beside, target = self._beside(name), self.folder / name
        if target.exists():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.replace(target)
        sync_folder(self.folder)
        return target

    def settle(self, ended: Mapping[str, bytes]) -> None:
        """After a restart: publish what the store committed (name -> `digest` of its files), drop what it did not.

        Raises `LocalError`: `STORE_UNUSABLE` if a committed round is gone, `STORE_DAMAGED` if one of the latest was altered,
        `STORE_ROLLED_BACK` if there is a round that the store does not know.
        """
        for name in self.unknown(ended):
            raise ahead(self.folder / name)
        for name in sorted(ended)[-_CHECKED:]:
            if (self.folder / name).exists() and digest(_read(self.folder / name)) != ended[name]:
                message = f"{self.folder / name} is not what was stored"
                raise LocalError(Refusal.STORE_DAMAGED, message, next_step="Restore this folder from a backup, and check the disk.")
        for name, expected in ended.items():
            beside = self._beside(name)
            if beside.exists() and digest(_read(beside)) == expected:
                self.publish(name)
            elif not (self.folder / name).exists():
                message = f"{self.folder / name} is gone, or not what was stored"
                next_step = "Restore it from a backup; the job cannot be verified without it."
                raise LocalError(Refusal.STORE_UNUSABLE, message, next_step=next_step)
        for beside in self.folder.glob("*.part"):
            shutil.rmtree(beside)

    def unknown(self, ended: Collection[str]) -> tuple[str, ...]:
        """The names of rounds that are here and not among `ended`, in order."""
        return tuple(sorted(path.name for path in self.folder.iterdir() if round_in(path.name) and path.name not in ended))

    def read(self, name: str) -> dict[str, bytes]:
        """The files of a round, by name."""
        return _read(self.folder / name)

    def _beside(self, name: str) -> Path:
        return self.folder / (name + ".part")


def ahead(folder: Path) -> LocalError:
    """The refusal to work on a store that is older than its archive."""
    return LocalError(
        Refusal.STORE_ROLLED_BACK,
        f"{folder} holds a round that the store does not know: the store was put back to an earlier state",
        next_step="Stop every copy of this orchestrator. Then: " + typed("orchestrator", "recover"),
    )


def _read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
