"""Errors of disks and databases, each as one of few that a person can act on (PROTOCOL 8)."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hushfleet.errors import LocalError, Refusal

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_PRIMARY = 0xFF
_SQLITE = {
    sqlite3.SQLITE_FULL: Refusal.DISK_FULL,
    sqlite3.SQLITE_READONLY: Refusal.DISK_READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: Refusal.DISK_READ_ONLY,
    sqlite3.SQLITE_CORRUPT: Refusal.STORE_DAMAGED,
    sqlite3.SQLITE_NOTADB: Refusal.STORE_DAMAGED,
    sqlite3.SQLITE_IOERR: Refusal.STORE_DAMAGED,
}
_NEXT = {
    Refusal.DISK_FULL: "Make room on this disk. The program goes on by itself; nothing is lost.",
    Refusal.DISK_READ_ONLY: "Make the folder writable for this user; a card that has become read-only is often at its end.",
}
TEMPORARY = (Refusal.DISK_FULL, Refusal.DISK_READ_ONLY)
"""The troubles that end by themselves, or by what somebody does beside the program."""


@contextmanager
def storage_errors(folder: Path, *, damaged: str) -> Iterator[None]:
    """Errors of the disk or database in the block become `LocalError`: `DISK_FULL`, `DISK_READ_ONLY` or `STORE_DAMAGED`.

    `damaged` is the next step after damage.
    """
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise LocalError(reason, f"{folder}: {error}", next_step=_NEXT.get(reason, damaged)) from error


class Reserve:
    """Room on a disk that is given up when the disk is full, for what must still be written."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size

    def make(self) -> None:
        """Take the room, unless it is taken. OSError if the disk has none left."""
        if self._path.exists():
            return
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            finally:
                os.close(descriptor)
        except OSError:
            self._path.unlink(missing_ok=True)
            raise

    @contextmanager
    def spent_if_full(self, *, allowed: bool) -> Iterator[None]:
        """If the block fails because the disk is full, give the room up where it is `allowed`: what follows the block tries again."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            if not allowed or _reason(error) is not Refusal.DISK_FULL or not self._path.exists():
                raise
            self._path.unlink()


def _reason(error: Exception) -> Refusal | None:
    cause = getattr(error, "orig", None)  # SQLAlchemy wraps what the database's driver raised
    if isinstance(cause, Exception):
        return _reason(cause)
    if isinstance(error, OSError):
        if error.errno in _FULL:
            return Refusal.DISK_FULL
        if error.errno in _READ_ONLY:
            return Refusal.DISK_READ_ONLY
        return Refusal.STORE_DAMAGED if error.errno == errno.EIO else None
    return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & _PRIMARY)
