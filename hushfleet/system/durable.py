"""Durable files: a crash leaves either the old file or the new one."""

import os
import stat
from pathlib import Path


def write_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write beside, fsync, rename, fsync the folder. The file is never half-written."""
    beside = path.with_name(path.name + ".part")
    # Never into what is there: root writes in folders of the service's user, who could leave a link, and a leftover keeps its mode.
    beside.unlink(missing_ok=True)
    write_new(beside, data, mode=mode)
    beside.replace(path)
    sync_folder(path.parent)


def write_new(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file that is not there yet, and fsync it. Its name is durable only after `sync_folder`. FileExistsError if it is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_unsynced(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write beside and rename: a process that ends leaves the old file or the new one. A power cut may leave anything.

    For what can be had again. Slow disks make a process wait for `write_durably`; this one waits for nothing.
    """
    beside = path.with_name(path.name + ".part")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    beside.replace(path)


def give_away(folder: Path) -> None:
    """Give everything in `folder` to its owner, who may move links and folders about meanwhile: nothing outside changes hands."""
    owner = folder.stat()
    for _, folders, files, here in os.fwalk(folder.resolve()):
        for name in (*folders, *files):
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode) or found.st_nlink == 1:
                os.chown(name, owner.st_uid, owner.st_gid, dir_fd=here, follow_symlinks=False)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
