"""Files that somebody else may have made, read without being led astray.

A regular file is read, up to a limit. A FIFO would block, a device never ends, a sparse file fills the memory, and a link leads
elsewhere: each is refused by what it is before a byte of it is read.
"""

import errno
import os
import stat
from pathlib import Path

from hushfleet.errors import LocalError, Refusal

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of(path: Path, *, follow: bool = True) -> str | None:
    """The kind of thing at `path` in words; an empty text for a regular file, None for nothing at all."""
    try:
        mode = path.stat(follow_symlinks=follow).st_mode
    except FileNotFoundError:
        return None
    return next((word for is_kind, word in _KINDS if is_kind(mode)), "")


def read_named(path: Path, max_bytes: int) -> bytes:
    """The content of the regular file that a person named, also through a link. Raises as `read_file`."""
    return read_file(path, max_bytes=max_bytes, follow=True)


def read_file(path: Path, *, max_bytes: int, follow: bool = False) -> bytes:
    """The content of a regular file, never blocking. `follow`: also through a link.

    Raises `LocalError`: `FILE_KIND` for anything else, `FILE_TOO_LARGE` beyond `max_bytes`; OSError, as if it is missing.
    """
    kind = kind_of(path, follow=follow)
    if kind:
        raise _of_another_kind(path, kind)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:  # it was exchanged meanwhile
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _of_another_kind(path, "a link or a socket") from error
        raise
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _of_another_kind(path, "a special file")
        if found.st_size > max_bytes:
            raise _too_large(path, max_bytes)
        return _whole(file.fileno(), path, found.st_size, max_bytes)


def _whole(descriptor: int, path: Path, size: int, max_bytes: int) -> bytes:
    """Read to the end: a file may have grown, and one of /proc states a size of 0."""
    parts, left = [], max_bytes + 1
    while left and (part := os.read(descriptor, min(left, max(size, 1 << 16)))):
        parts.append(part)
        left -= len(part)
    if not left:
        raise _too_large(path, max_bytes)
    return b"".join(parts)


def _of_another_kind(path: Path, kind: str) -> LocalError:
    return LocalError(Refusal.FILE_KIND, f"{path} is {kind}, not a regular file", next_step="Name the file itself.")


def _too_large(path: Path, max_bytes: int) -> LocalError:
    text = f"{path} is larger than the {max_bytes:,} bytes that such a file may have"
    return LocalError(Refusal.FILE_TOO_LARGE, text, next_step="Check that it is the right file.")
