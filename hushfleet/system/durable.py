"""Durable files: a crash leaves either the old file or the new one. A house test keeps every other module from writing files."""

import os
import stat
from pathlib import Path

from hushfleet.errors import LocalError, Refusal
from hushfleet.system.files import kind_of


def write_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write beside, fsync, rename, fsync the folder. The file is never half-written.

    Raises `LocalError(FILE_KIND)` if something else than a regular file is there, which the renaming would remove: root would lose
    `/dev/full`. A link is something else.
    """
    _write_beside(path, data, mode=mode, sync=True)
    sync_folder(path.parent)


def write_quickly(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """As `write_durably`, without an fsync: for what may be lost, on cards that wear out."""
    _write_beside(path, data, mode=mode, sync=False)


def _write_beside(path: Path, data: bytes, *, mode: int, sync: bool) -> None:
    require_writable(path)
    beside = path.with_name(path.name + ".part")
    # Never into what is there: root writes in folders of the service's user, who could leave a link, and a leftover keeps its mode.
    beside.unlink(missing_ok=True)
    write_new(beside, data, mode=mode, sync=sync)
    beside.replace(path)


def require_writable(path: Path) -> None:
    """Return if there is a regular file at `path`, or nothing. Raises `LocalError(FILE_KIND)`."""
    if kind := kind_of(path, follow=False):
        text = f"{path} is {kind}, not a regular file, and is left as it is"
        raise LocalError(Refusal.FILE_KIND, text, next_step="Name another file; where a command can write to standard output, '-' says so.")


def write_new(path: Path, data: bytes, *, mode: int = 0o600, sync: bool = True) -> None:
    """Write a file that is not there yet, and with `sync` fsync it. FileExistsError if it is there.

    Its name is durable only after `sync_folder`.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        if sync:
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
