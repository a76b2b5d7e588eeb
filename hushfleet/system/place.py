"""The place where a file lives: what changes if somebody copies it, restores it or carries it to another machine (PROTOCOL 8)."""

import ctypes
import os
from pathlib import Path

_AT_FDCWD = -100
_STATX_BTIME = 0x800
_STATX_BYTES = 256
_BTIME_OFFSET = 80
_SERIALS = (Path("/proc/device-tree/serial-number"), Path("/sys/class/dmi/id/product_uuid"))
_MACHINE_ID = Path("/etc/machine-id")


def place_of(path: Path) -> dict[str, str]:
    """File system, inode, birth time, machine id and board serial, by name; what this system does not tell is left out."""
    found = {
        "file system": f"{os.statvfs(path).f_fsid:x}",
        "inode": str(path.stat().st_ino),
        "birth time": _birth_time(path),
        "machine id": _text(_MACHINE_ID),
        "board serial": next((text for text in map(_text, _SERIALS) if text), ""),
    }
    return {name: value for name, value in found.items() if value}


def differences(before: dict[str, str], now: dict[str, str]) -> tuple[str, ...]:
    """The names of what is told both times and differs."""
    return tuple(name for name in before if name in now and before[name] != now[name])


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _birth_time(path: Path) -> str:
    """Seconds and nanoseconds, or an empty text: Python's own `os.stat` does not tell it on Linux."""
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    try:
        failed = ctypes.CDLL(None).statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, buffer)
    except AttributeError:
        return ""
    if failed or not int.from_bytes(buffer.raw[:4], "little") & _STATX_BTIME:
        return ""
    seconds = int.from_bytes(buffer.raw[_BTIME_OFFSET : _BTIME_OFFSET + 8], "little")
    nanoseconds = int.from_bytes(buffer.raw[_BTIME_OFFSET + 8 : _BTIME_OFFSET + 12], "little")
    return f"{seconds}.{nanoseconds:09d}"
