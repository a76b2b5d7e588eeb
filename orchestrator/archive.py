"""The archive: one folder per finished round, which an outsider can check with `hushfleet verify`."""

import os
import shutil
from pathlib import Path

from hushfleet.signing import VerifyKey

ROOT_KEY_FILE = "root.pub"


class Archive:
    """A job's folder of rounds. A round's folder appears whole or not at all."""

    def __init__(self, folder: Path, root: VerifyKey) -> None:
        """Use `folder`, made if missing, and leave the root public key in it."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ROOT_KEY_FILE).write_text(root.raw.hex() + "\n")

    def store(self, key_epoch: int, round_number: int, files: tuple[tuple[str, bytes], ...]) -> Path:
        """Write one round: files first, fsynced, then the folder's name. Rounds count from 1 again under a new key."""
        target = self.folder / f"epoch-{key_epoch:03d}-round-{round_number:06d}"
        beside = target.with_name(target.name + ".part")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        for name, data in files:
            with (beside / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        beside.replace(target)
        return target
