"""The origin of prepared rows, as a text that differs whenever they have to be made again."""

import hashlib
from pathlib import Path

import msgspec

from edge_agent.config import DataSettings


def origin_of(settings: DataSettings, *others: Path) -> str:
    """Settings, and time, size and inode of the file they name and of `others`: a changed or replaced file gives another text."""
    files = [_stamp(path) for path in (settings.path, *others) if path is not None]
    told = msgspec.json.encode((settings, files), enc_hook=str)
    return hashlib.sha256(told).hexdigest()


def _stamp(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), found.st_mtime_ns, found.st_size, found.st_ino
