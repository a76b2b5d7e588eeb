"""A folder's lock: one process at a time changes what is in it.

The lock is an advisory lock on the file `lock`. The operating system lifts it when the process ends, however it ends.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from hushfleet.errors import LocalError, Refusal
from hushfleet.system.storage import storage_errors

_FILE = "lock"
_ATTEMPTS, _PAUSE_S = 5, 0.1


@contextmanager
def folder_locked(folder: Path, *, next_step: str) -> Iterator[None]:
    """Hold the lock of `folder`. Raises `LocalError(STATE_IN_USE)` with the process that holds it, and `next_step`."""
    # A service's user may own the folder while root locks it: never through a link.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    with storage_errors(folder, damaged="Check the disk."):
        descriptor = os.open(folder / _FILE, flags, 0o600)
    with os.fdopen(descriptor, "a+") as file:
        if not _lock(file, fcntl.LOCK_EX, _ATTEMPTS):
            raise LocalError(Refusal.STATE_IN_USE, f"{folder} is in use by {_holder(file)}", next_step=next_step)
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def lock_holder(folder: Path) -> str | None:
    """The process that holds the lock of `folder`, or None."""
    path = folder / _FILE
    if not path.exists():
        return None
    with path.open() as file:
        return None if _lock(file, fcntl.LOCK_SH, 1) else _holder(file)


def _lock(file: TextIO, kind: int, attempts: int) -> bool:
    """True if the lock was got. Several attempts, because `lock_holder` takes it for a moment."""
    for attempt in range(attempts):
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S if attempt + 1 < attempts else 0)
        else:
            return True
    return False


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read(200).strip() or "another process"
